#!/bin/bash
# The site's network: a namespace with one bridge, and dnsmasq as THE SITE'S OWN DHCP and TFTP server, which knows the machines and chains
# their iPXE to `bringup`. With DHCP=none nobody answers DHCP at all. No uplink and no route lead out of the namespace.
set -euo pipefail
. "$(dirname "$0")/env.sh"
dir=$STATE/net
mkdir -p "$dir/tftp"

ip netns add "$NS"
inside ip link set lo up
inside ip link add br0 type bridge
inside ip address add "$GATEWAY/16" dev br0
inside ip -6 address add fd77::1/64 dev br0 nodad
for i in $(machines); do inside ip address add "$(bmc_ip "$i")/16" dev br0; done
inside ip link set br0 up

[ "$DHCP" = none ] && exit 0

cp /usr/lib/ipxe/snponly.efi /usr/lib/ipxe/undionly.kpxe "$dir/tftp/"
cp "$BUILT/vmlinuz" "$BUILT/initrd.gz" "$dir/tftp/"
cat >"$dir/tftp/elsewhere.ipxe" <<X
#!ipxe
kernel vmlinuz initrd=initrd.gz console=ttyS0 bringup-lab.from=elsewhere
initrd initrd.gz
boot
X
{
  cat <<X
port=0
interface=br0
except-interface=lo
bind-interfaces
dhcp-authoritative
no-ping
# Router advertisements: without them iPXE waits 13 s for an IPv6 address before it goes on.
enable-ra
dhcp-range=fd77::,ra-only,64,1h
ra-param=br0,high,10
dhcp-range=10.77.0.0,static,255.255.0.0,2h
dhcp-leasefile=$dir/leases
log-dhcp
log-facility=$dir/dnsmasq.log
pid-file=$dir/dnsmasq.pid
user=root
enable-tftp
tftp-root=$dir/tftp
# iPXE names itself by option 175; architectures 7 and 9 are UEFI on x86-64 (RFC 4578, IANA).
dhcp-match=set:ipxe,175
dhcp-match=set:uefi,option:client-arch,7
dhcp-match=set:uefi,option:client-arch,9
dhcp-boot=tag:ipxe,tag:!astray,http://$GATEWAY:$BOOT_PORT/boot.ipxe
dhcp-boot=tag:ipxe,tag:astray,tftp://$GATEWAY/elsewhere.ipxe
dhcp-boot=tag:!ipxe,tag:uefi,tag:!dud,snponly.efi,,$GATEWAY
dhcp-boot=tag:!ipxe,tag:!uefi,tag:!dud,undionly.kpxe,,$GATEWAY
# Answers that fail at once: with none, firmware waits minutes before it goes on to the disk. Architecture 16 is UEFI HTTP boot; nothing
# listens on port 9.
dhcp-match=set:http,option:client-arch,16
dhcp-boot=tag:dud,tag:!http,no-such-file.efi,,$GATEWAY
dhcp-boot=tag:dud,tag:http,http://$GATEWAY:9/no-such-file.efi
dhcp-option-force=tag:dud,tag:http,60,HTTPClient
X
  for i in $(machines); do
    echo "dhcp-host=$(mac_of "$i"),$([ "$i" = "$ASTRAY" ] && echo set:astray,)$([ "$i" = "$DUD" ] && echo set:dud,)$(node_ip "$i"),node$i"
  done
} >"$dir/dnsmasq.conf"
inside dnsmasq --conf-file="$dir/dnsmasq.conf"
wait_for 10 "dnsmasq's pid file" test -s "$dir/dnsmasq.pid"
