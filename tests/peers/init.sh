#!/bin/sh
# First process of the laboratory's boot image: one address by DHCP, then SSH, and on the console every fact that a test counts.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
from=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^bringup-lab.from=//p')
[ -n "$from" ] || from=net
tell() { echo "bringup-lab: $* uptime=$(cut -d' ' -f1 /proc/uptime)" >/dev/console; }
tell "kernel from=$from boot_id=$(cat /proc/sys/kernel/random/boot_id)"

while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order
ip link set lo up

# The interface that booted, as PXELINUX and iPXE name it (BOOTIF=01-aa-bb-…), else the first.
wanted=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^BOOTIF=\(01-\)\{0,1\}//p' | tr 'A-F-' 'a-f:')
nic=
tries=0
while [ -z "$nic" ] && [ $tries -lt 100 ]; do
  for path in /sys/class/net/*; do
    name=${path##*/}
    [ "$name" = lo ] && continue
    if [ -z "$wanted" ] || [ "$(cat "$path/address")" = "$wanted" ]; then nic=$name && break; fi
  done
  tries=$((tries + 1))
  [ -n "$nic" ] || sleep 0.1
done
ip link set "$nic" up

cat >/run/lease <<'X'
#!/bin/sh
case $1 in bound | renew)
  ip addr replace "$ip/${mask:-16}" dev "$interface"
  hostname "${hostname:-lab}"
  echo "$ip" >/run/ip
  ;;
esac
X
chmod 755 /run/lease

# ip=ADDRESS::ROUTER:MASK:HOST:DEVICE:off, for sites without DHCP (the kernel's form; DEVICE is not needed here). Then DHCP is not even asked.
static=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^ip=//p')
if [ -n "$static" ]; then
  field() { echo "$static" | cut -d: -f"$1"; }
  interface=$nic ip=$(field 1) mask=$(ipcalc -p "$(field 1)" "$(field 4)" | cut -d= -f2) hostname=$(field 5) /run/lease bound
  ip route add default via "$(field 3)"
  tell "static $static"
fi
until [ -s /run/ip ]; do udhcpc -q -n -f -i "$nic" -s /run/lease -t 10 -T 1 >/run/udhcpc.log 2>&1; done

dropbear -r /etc/dropbear/host_key -s -j -k 2>/run/dropbear.log
tell "ready from=$from ip=$(cat /run/ip) serial=$(cat /sys/class/dmi/id/product_serial)"
while :; do sleep 3600; done
