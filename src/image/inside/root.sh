# Diskless boot: read by init when the command line names a root file system (bringup.root=URL bringup.root.sha256=HEX). The root is fetched to
# memory, held against its digest before anything of it is looked at, and mounted under a writable layer in memory; then init becomes its systemd.
# One way or the other, never half: where it cannot be done the console says `bringup: stage root refused: WHY` and no SSH server runs here, since
# whoever logged in to it would find this boot's marks on the command line and take the ramdisk for the node.
# shellcheck shell=sh

root_url=$(argument bringup.root)
# The boot server itself has every root under the same grant; the URL above may be that of a cache in the rack.
root_at=$(argument bringup.at)
case $root_at in http://*/at) root_own=${root_at%/at}/root ;; *) root_own=$root_url ;; esac
root_digest=$(argument bringup.root.sha256)
root_dir=/run/bringup/root # moves along with /run: store holds the file, lower shows it, upper is what the node writes
root_new=/sysroot
# What systemd, sshd and a stack's installer need beside the root, in MiB: Debian 12 with both running takes 80 to 150.
root_spare=256
# How long it is waited for an address, and how often in a row a server may give not one byte.
root_patience=300
root_tries=10
# How often a cache may: it is near, and the boot server can give the same.
root_cache_tries=3
# Seconds without a byte after which a connection is dead.
root_silence=30
root_log=/run/bringup/wget.log

root_refuse() {
  touch /run/bringup/no-ssh
  stage "root refused: $*"
  exit 1
}
root_memory() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo; }
root_mib() { echo "$((($1 + 1048575) / 1048576)) MiB"; }
root_clean() { tail -n 1 "$1" | tr -cd ' -~' | cut -c1-200; }

root_fit() {
  total=$(($(root_memory MemTotal) / 1024)) free=$(($(root_memory MemAvailable) / 1024)) need=$((($1 + 1048575) / 1048576))
  if [ $((need * 2)) -gt "$total" ] || [ $((need + root_spare)) -gt "$free" ]; then
    kill "$fetch" 2>/dev/null
    root_refuse "memory is short: the root has $need MiB, $free of $total MiB are free; at most half may hold it and $root_spare MiB must stay free"
  fi
}

# Bytes of the whole root, by the headers that came; nothing when they do not say.
root_told_size() {
  whole=$(sed -n 's/^ *Content-Range: bytes [0-9]*-[0-9]*\/\([0-9][0-9]*\)\r*$/\1/pI' $root_log)
  [ -n "$whole" ] || whole=$(sed -n 's/^ *Content-Length: *\([0-9][0-9]*\)\r*$/\1/pI' $root_log)
  echo "$whole" | tail -n 1
}
root_have() { stat -c %s "$file" 2>/dev/null || echo 0; }

# One try. Debian 12's busybox falls over `wget -T` (a segmentation fault, 1.35.0-4+deb12u1), so that a connection gone silent is ended here.
root_try() {
  wget -q -S -c -O "$file" "$root_url" >$root_log 2>&1 &
  fetch=$!
  silent=0 before=$(root_have)
  while kill -0 $fetch 2>/dev/null; do
    usleep 200000
    if [ -z "$size" ]; then
      size=$(root_told_size)
      [ -z "$size" ] || root_fit "$size"
    fi
    now=$(root_have)
    if [ "$now" != "$before" ]; then silent=0 before=$now; else silent=$((silent + 1)); fi
    [ $silent -lt $((root_silence * 5)) ] || kill $fetch 2>/dev/null
  done
  wait $fetch
}

# From the boot server from now on; fails when that is who was asked.
root_from_server() {
  [ "$root_url" != "$root_own" ] || return 1
  stage "root from the boot server itself: $1"
  root_url=$root_own tries=0 size=
}

# To the file, resumed where it broke off. A refusal of the server is final; what may pass by itself is tried again, not in step with the others.
root_fetch() {
  file=$root_dir/store/root.squashfs
  had=0 tries=0 size=
  while :; do
    root_try
    code=$?
    [ -n "$size" ] || size=$(root_told_size)
    have=$(root_have)
    if [ -n "$size" ]; then [ "$have" = "$size" ] && return; else [ $code = 0 ] && return; fi
    why=$(root_clean $root_log)
    case $why in
    *'No space left'*) root_refuse "memory is short: half of it does not hold the root" ;;
    *'HTTP/1.'?' 408'* | *'HTTP/1.'?' 429'*) ;;
    *'HTTP/1.'?' 4'*)
      root_from_server "$why" || root_refuse "$why"
      continue
      ;;
    esac
    # More than the server says that there is: a part of another file.
    [ -n "$size" ] && [ "$have" -gt "$size" ] && rm -f "$file" && have=0
    if [ "$have" -gt "$had" ]; then
      tries=0
      stage "root broken off at $have of ${size:-unknown} bytes, goes on"
    else
      tries=$((tries + 1))
      [ $tries -lt $root_cache_tries ] || root_from_server "${why:-the connection ended early}"
      [ $tries -lt $root_tries ] || root_refuse "not one byte more in $root_tries tries: ${why:-the connection ended early}"
    fi
    had=$have
    sleep $((tries + $(od -An -N1 -tu1 /dev/urandom) % 4))
  done
}

# The keys of this boot into the root: from the initrd that brought them, or fetched as its grant says.
root_identity() {
  dir=/etc/bringup/keys
  if [ ! -s $dir/ssh_host_ed25519_key ] && [ -n "$(argument bringup.identity)" ]; then
    dir=/run/bringup/identity
    why=$(/etc/bringup/identity) || root_refuse "its identity: $why"
  fi
  { [ -s $dir/ssh_host_ed25519_key ] && [ -s $dir/authorized_keys ]; } || root_refuse "no SSH host key and authorized keys came with this boot"
  mkdir -p $root_new/etc/ssh $root_new/root/.ssh
  chmod 700 $root_new/root/.ssh
  { cp $dir/ssh_host_ed25519_key $root_new/etc/ssh/ && cp $dir/authorized_keys $root_new/root/.ssh/; } || root_refuse "its keys cannot be written"
  chmod 600 $root_new/etc/ssh/ssh_host_ed25519_key $root_new/root/.ssh/authorized_keys
  rm -rf /run/bringup/identity
}

# systemd-networkd goes on with the interface that booted, by its MAC address, as this ramdisk did; nothing of it is written into the root.
root_network() {
  nic=$(cat /run/bringup/booted)
  mac=$(cat "/sys/class/net/$nic/address")
  mkdir -p /run/systemd/network /run/systemd/system
  # It would read `ip=` a second time, and fails over a card that is named by its MAC address (systemd 252).
  ln -sf /dev/null /run/systemd/system/systemd-network-generator.service
  {
    printf '[Match]\nMACAddress=%s\n\n[Network]\n' "$mac"
    if [ -n "$static" ]; then
      printf 'Address=%s\n' "$(cat "/run/bringup/net/$nic")"
      gateway=$(echo "$static" | cut -d: -f3)
      [ -z "$gateway" ] || printf 'Gateway=%s\n' "$gateway"
    else
      # The server knows machines by MAC address. A lease lost or a daemon stopped takes no address away from under the node.
      printf 'DHCP=ipv4\nKeepConfiguration=dhcp\n\n[DHCPv4]\nClientIdentifier=mac\n'
    fi
  } >/run/systemd/network/10-bringup.network
  name=$(hostname)
  # `bringup` is this ramdisk's own.
  case $name in
  bringup | '') hostname '(none)' ;;
  *) echo "$name" >$root_new/etc/hostname ;;
  esac
}

# The last stage is told by the node itself, on its console and to the boot server as the ramdisk does: its SSH server runs. By a unit of this boot
# only, below /run, with the ramdisk's busybox: a root need not have a program that speaks HTTP.
root_told() {
  mkdir -p /run/systemd/system/multi-user.target.wants
  cp /bin/busybox /run/bringup/busybox
  cat >/run/bringup/told.sh <<'TOLD'
stage() { read -r up rest </proc/uptime; echo "<1>bringup: stage $* uptime=$up" >/dev/kmsg; }
listens=
# A socket that starts the server at the first login counts: it listens.
for unit in ssh.service sshd.service ssh.socket sshd.socket; do systemctl -q is-active "$unit" && listens=1; done
if [ -z "$listens" ]; then
  stage "ssh refused: the node has no SSH server that runs"
  exit 1
fi
stage ssh port=22
at=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^bringup.at=//p' | tail -n 1)
case $at in http://*) ;; *) exit 0 ;; esac
box=/run/bringup/busybox
for try in 1 2 4 8; do $box timeout 5 $box wget -q -O /dev/null "$at/ssh" && exit 0; sleep $try; done 2>/dev/null
# What a boot server shows is not what a node lives by.
exit 0
TOLD
  cat >/run/systemd/system/bringup-told.service <<'UNIT'
[Unit]
Description=Tells the console and the boot server that SSH is up
After=ssh.service sshd.service ssh.socket sshd.socket network-online.target
Wants=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /run/bringup/told.sh
UNIT
  ln -sf ../bringup-told.service /run/systemd/system/multi-user.target.wants/
}

# All but the last step, in the background; the file `ready` asks process 1 for that.
root_prepare() {
  echo "$root_digest" | grep -qE '^[0-9a-f]{64}$' || root_refuse "the command line has no SHA-256 of it (bringup.root.sha256=)"
  waited=0
  until [ -e /run/bringup/address ]; do
    waited=$((waited + 1))
    [ $waited -le $root_patience ] || root_refuse "no network in $root_patience s: no card, no link, or no answer of a DHCP server"
    sleep 1
  done
  # shellcheck disable=SC2012 # names of interfaces; any will do where the loader did not say which one booted
  ls /run/bringup/net | head -n 1 >/run/bringup/booted
  for nic in /run/bringup/net/*; do
    # shellcheck disable=SC2154 # init's
    [ "$(cat "/sys/class/net/${nic##*/}/address")" = "$device" ] && echo "${nic##*/}" >/run/bringup/booted
  done
  mkdir -p $root_dir/store $root_dir/lower $root_dir/upper $root_new
  mount -t tmpfs -o nosuid,nodev,mode=700,size=50% store $root_dir/store || root_refuse "no memory for it can be set apart"
  root_fetch
  stage "root fetched $have bytes"
  found=$(sha256sum <"$file" | cut -c1-64)
  if [ "$found" != "$root_digest" ] && root_from_server "what came has SHA-256 $found"; then
    rm -f "$file"
    root_fetch
    found=$(sha256sum <"$file" | cut -c1-64)
  fi
  [ "$found" = "$root_digest" ] || root_refuse "SHA-256 is $found, wanted $root_digest: $root_url is not the root of this boot"
  modprobe -a -q loop squashfs overlay
  mount -t squashfs -o ro,loop "$file" $root_dir/lower 2>/run/bringup/mount.log || root_refuse "$(root_clean /run/bringup/mount.log)"
  release=$(uname -r)
  if [ ! -d "$root_dir/lower/lib/modules/$release" ]; then
    # shellcheck disable=SC2012 # names of kernels
    others=$(ls $root_dir/lower/lib/modules 2>/dev/null | tr '\n' ' ' | tr -cd ' -~' | cut -c1-100 | sed 's/ $//')
    root_refuse "the kernel is $release and the root has modules of ${others:-no kernel}"
  fi
  # A link of the root's may lead to what only the root has.
  [ -x $root_dir/lower/sbin/init ] || [ -h $root_dir/lower/sbin/init ] || root_refuse "it has no /sbin/init"
  # Half of what is free now: what the node writes cannot take the memory that its programs run in.
  mount -t tmpfs -o "mode=755,size=$(($(root_memory MemAvailable) / 2))k" upper $root_dir/upper || root_refuse "no memory to write to can be set apart"
  mkdir $root_dir/upper/data $root_dir/upper/work
  layers=lowerdir=$root_dir/lower,upperdir=$root_dir/upper/data,workdir=$root_dir/upper/work
  mount -t overlay -o $layers root $root_new 2>/run/bringup/mount.log || root_refuse "$(root_clean /run/bringup/mount.log)"
  root_identity
  root_network
  root_told
  stage "root ready $(echo "$root_digest" | cut -c1-12), $(root_mib "$have") in memory"
  touch $root_dir/ready
}

# Process 1 alone: everything else ends, and its place is taken by the root's init.
root_enter() {
  for dir in /proc/[0-9]*; do
    # A kernel thread has no command line.
    [ "${dir##*/}" = 1 ] || [ -z "$(tr -d '\0' <"$dir/cmdline" 2>/dev/null)" ] || kill -9 "${dir##*/}" 2>/dev/null
  done
  # An interface that is up cannot be renamed before Linux 6.2: udev would give up, systemd-networkd wait for it for ever, and cards would keep
  # the names of the order in which they came. (Seen with Debian 12: `eth0 … routable (pending)`.)
  for path in /sys/class/net/*/device; do
    nic=${path%/device}
    ip addr flush dev "${nic##*/}"
    ip link set "${nic##*/}" down
  done
  umount /dev/pts
  for dir in run sys dev proc; do mkdir -p $root_new/$dir && mount -o move /$dir $root_new/$dir; done
  exec switch_root -c /dev/console $root_new /sbin/init
}
