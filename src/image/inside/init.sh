#!/bin/sh
# First process of the bring-up ramdisk: drivers, network, SSH, and on the console one line for each stage, which a boot server can read:
#   bringup: stage userspace|network|ssh …      bringup: stage ssh refused: WHY
# and the words userspace, network and ssh to the boot server, below the address in bringup.at= on the kernel's command line.
# The host key and the keys that let in are made for this one boot: fetched under its grant (see identity.sh), or in an initrd of their own.
# Without them nothing listens: a key made up here would be a stranger to whoever logs in.
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /root
/bin/busybox --install -s /bin
mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t devtmpfs -o nosuid dev /dev
mkdir -p /dev/pts
mount -t devpts -o nosuid,noexec,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=755 run /run
mkdir -p /run/bringup/net /run/bringup/lldp

# By the kernel's log, so that it comes out on every console, after whatever `quiet` leaves out; <1> passes any sane log level.
tell() { echo "<1>bringup: $*" >/dev/kmsg; }
stage() { tell "stage $* uptime=$(cut -d' ' -f1 /proc/uptime)"; }
argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -n 1; }
stage userspace

# To the boot server, which shows it and believes none of it. There is no network at first: each word waits for its moment, and nothing waits for it.
# A server that does not take it is asked a few times and then left alone. Not by `wget -T`: Debian's busybox is built without it, and crashes.
at=$(argument bringup.at)
report() { for try in 1 2 4 8; do timeout 5 wget -q -O /dev/null "$at/$1" 2>/dev/null && return; sleep "$try"; done; }
report_all() {
  until [ -e /run/bringup/address ]; do usleep 200000; done
  report userspace
  report network
  until [ -e /run/bringup/ssh ]; do [ -e /run/bringup/no-ssh ] && return; usleep 200000; done
  report ssh
}
case $at in http://* | https://*) report_all & ;; esac

# Drivers that the hardware asks for by its modaliases, until no new ones appear (a virtio transport shows its devices only once its own driver is
# in). Only what is new is asked for: comparing costs more than finding. Network cards come first (PCI class 02, virtio device 1) and each by itself,
# since one may take a minute to start; all of it in the background.
drivers() {
  asked=
  while :; do
    aliases=$(find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u)
    fresh=$(echo "$aliases" | grep -vxF "$asked")
    [ -n "$fresh" ] || break
    cards=$(echo "$fresh" | grep '^pci:.*bc02\|^virtio:d00000001')
    if [ -n "$cards" ]; then
      for alias in $cards; do modprobe -q "$alias" 2>/dev/null & done
      wait
      asked="$asked
$cards"
    else
      # shellcheck disable=SC2086 # one word a line
      modprobe -a -q $fresh 2>/dev/null
      asked=$aliases
    fi
  done
}
# shellcheck disable=SC2046 # one word a line
modprobe -a -q $(cat /etc/bringup/load) 2>/dev/null
drivers &

# A node that was installed: its system is on its disk, and this is only the way there.
case $(argument root) in UUID=* | LABEL=*) . /etc/bringup/disk ;; esac

hostname bringup
ip link set lo up
ln -s /run/resolv.conf /etc/resolv.conf 2>/dev/null

# ip=ADDRESS::GATEWAY:NETMASK:HOSTNAME:DEVICE:off:DNS0:DNS1, the kernel's own form (Documentation/admin-guide/nfs/nfsroot.rst), for sites without DHCP;
# DEVICE is a name or a MAC address with hyphens. Without it: the interface that booted (BOOTIF=01-aa-bb-…), else the first that appears.
static=$(argument ip)
case $static in '' | dhcp | on | any | *::dhcp | :*) static= ;; esac
device=$(echo "$static" | cut -d: -f6 | tr 'A-F' 'a-f' | sed '/^[0-9a-f][0-9a-f]-/s/-/:/g')
[ -n "$device" ] || device=$(argument BOOTIF | sed 's/^01-//' | tr 'A-F-' 'a-f:')

card() {
  nic=$1
  ip link set "$nic" up
  if [ -z "$static" ]; then
    # Each card asks for itself, again and again: the switch port of one may take a minute to forward (spanning tree).
    udhcpc -f -i "$nic" -s /etc/bringup/lease -t 4 -T 1 -A 3 >/run/bringup/udhcpc."$nic" 2>&1 &
    return
  fi
  case $device in "$nic" | "$(cat "/sys/class/net/$nic/address")" | '') device=$nic ;; *) return ;; esac
  old_ifs=$IFS
  IFS=:
  # shellcheck disable=SC2086 # split at colons
  set -- $static
  IFS=$old_ifs
  interface=$nic ip=$1 router=$3 mask=$(ipcalc -p "$1" "$4" | cut -d= -f2) hostname=$5 dns="${8:-} ${9:-}" /etc/bringup/lease static
}

# SSH. Both files are the boot's own.
no_ssh() { touch /run/bringup/no-ssh; stage "ssh refused: $1"; }
serve_ssh() {
  key=/etc/bringup/host_key
  let_in=/root/.ssh/authorized_keys
  if [ ! -s "$key" ] && [ -n "$(argument bringup.identity)" ]; then
    if ! why=$(/etc/bringup/identity); then
      no_ssh "$why"
      return
    fi
    stage identity
  fi
  if [ ! -s "$key" ]; then
    no_ssh "no host key came with this boot"
  elif [ ! -s "$let_in" ]; then
    no_ssh "no authorized key came with this boot"
  else
    chmod 700 /root /root/.ssh && chmod 600 "$key" "$let_in"
    # -s, -g: no passwords; -j, -k: no forwarding. Never -R, which would make up a key.
    dropbear -F -E -s -g -j -k -r "$key" -p 22 >/run/bringup/dropbear.log 2>&1 &
    dropbear=$!
    # Until it listens (0016 is port 22, 0A is LISTEN) or has given up.
    until grep -q ':0016 [0-9A-F:]* 0A ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; do
      kill -0 "$dropbear" 2>/dev/null || break
      usleep 50000
    done
    if kill -0 "$dropbear" 2>/dev/null; then
      # Told once, when there is also an address to come to; a lease that comes later tells it.
      touch /run/bringup/ssh
      [ -e /run/bringup/address ] && mkdir /run/bringup/told 2>/dev/null && stage ssh port=22
    else
      no_ssh "dropbear ended: $(tail -n 1 /run/bringup/dropbear.log | tr -cd ' -~' | cut -c1-200)"
    fi
  fi
}
# A node image by digest takes over from here; else this ramdisk is what was asked for.
if [ -n "$(argument bringup.root)" ]; then
  # shellcheck source=root.sh
  . /etc/bringup/root
  root_prepare &
else
  serve_ssh &
fi
/bin/bringup-report --listen >/run/bringup/lldp.log 2>&1 &

# Process 1 never ends: it takes in every child that nobody waits for, and brings up each card as its driver shows it.
known=' '
rounds=0
while :; do
  for path in /sys/class/net/*; do
    nic=${path##*/}
    case $known in *" $nic "*) continue ;; esac
    known="$known$nic "
    [ -e "$path/device" ] && card "$nic"
  done
  [ -e /run/bringup/root/ready ] && root_enter
  rounds=$((rounds + 1))
  # A minute of haste, then at leisure.
  if [ $rounds -lt 600 ]; then usleep 100000; else sleep 5; fi
done
