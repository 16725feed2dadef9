#!/bin/sh
# What udhcpc runs when a lease comes, changes or goes; init runs it too, with an address from the kernel's command line.
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
stage() { echo "<1>bringup: stage $* uptime=$(cut -d' ' -f1 /proc/uptime)" >/dev/kmsg; }
case $1 in
bound | renew | static)
  ip addr replace "$ip/${mask:-24}" dev "$interface"
  metric=$(cat "/sys/class/net/$interface/ifindex")
  for gateway in $router; do ip route replace default via "$gateway" dev "$interface" metric "$metric"; done
  # A network without name servers, such as that of a second card, takes nobody's away.
  [ -z "$dns" ] || for server in $dns; do echo "nameserver $server"; done >/run/resolv.conf
  [ -n "$hostname" ] && hostname "$hostname"
  echo "$ip/${mask:-24}" >"/run/bringup/net/$interface"
  [ "$1" = renew ] && exit 0
  stage "network $interface $ip/${mask:-24} $1"
  touch /run/bringup/address
  [ -e /run/bringup/ssh ] && mkdir /run/bringup/told 2>/dev/null && stage ssh port=22
  ;;
deconfig)
  # Bringing the link down would make the switch port start anew.
  ip addr flush dev "$interface" scope global
  rm -f "/run/bringup/net/$interface"
  ;;
esac
exit 0
