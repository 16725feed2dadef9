# The installer's first half, after disks.sh, whatever is written: gets the files and looks at the disk again. It runs on the node by itself, in
# /run/bringup/install: `order` says what is wanted, the files lie beside it, `state` tells how far it is (`running STEP`, `done`, `failed WHY`),
# `log` what the tools said.
dir=/run/bringup/install
mnt=$dir/mnt
cd $dir || exit 1
order() { sed -n "s/^$1 //p" order; }
state() {
  echo "$*" >state.new && mv state.new state
  echo "<5>bringup: install $*" >/dev/kmsg
}
leave() { for at in $mnt/root $mnt/esp $mnt/image; do umount "$at" 2>/dev/null; done; }
fail() {
  leave
  state "failed $*"
  exit 1
}
step() {
  step=$1
  state "running $1"
}
# Every tool that fails ends it, with the last thing that was said.
run() {
  "$@" >>log 2>&1
  code=$?
  [ $code = 0 ] || fail "at $step: $1 ended with exit code $code: $(tail -n 1 log | text)"
}
# Labels of volume managers lie at both ends of a disk, and a partition table does not overwrite them.
clear_ends() {
  last=$(($(order size) / MIB - 4))
  run dd if=/dev/zero of="$disk" bs=$MIB count=16 conv=notrunc,fsync
  head -c $(($(order size) - last * MIB)) /dev/zero | run dd of="$disk" bs=$MIB iflag=fullblock seek=$last conv=notrunc,fsync || exit 1
}
# What is read after it comes from the disk, not from memory.
forget() {
  sync
  echo 3 >/proc/sys/vm/drop_caches || fail "at $step: what memory holds of the disk could not be dropped"
}
finish() {
  sync
  blockdev --flushbufs "$disk" 2>/dev/null
  # A claim to the boot server, which shows it; nothing rests on it.
  at=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^bringup.at=//p' | tail -n 1)
  case $at in http://* | https://*) timeout 5 wget -q -O /dev/null "$at/installed" 2>/dev/null ;; esac
  state 'done'
  echo "<1>bringup: stage installed uptime=$(cut -d' ' -f1 /proc/uptime)" >/dev/kmsg
}

# A cache that refuses, that gives no byte in three tries or another file is not asked again; fails when the boot server itself was asked.
from_server() {
  [ "$url" != "$own" ] || return 1
  echo "from the boot server itself: $1" >>log
  url=$own tries=0
}

# Before the disk is touched; the controller knows a failure by its first words, and sends the file itself.
file=$(order fetch)
if [ -n "$file" ]; then
  step fetch
  want=$(order file | sed -n "s/^$file //p")
  at=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^bringup.at=//p' | tail -n 1)
  case $at in http://*/at) ;; *) fail "at fetch: nothing says where the boot server is" ;; esac
  own=${at%/at}/$file
  # A cache of the rack has the same under the same path.
  cache=$(order cache)
  url=${cache:+$cache/${own#http://*/}}
  url=${url:-$own}
  began=$(cut -d. -f1 /proc/uptime)
  have=0 tries=0
  until [ "$(sha256sum "$file" 2>/dev/null | cut -d' ' -f1)" = "$want" ]; do
    # Not `wget -T`: Debian 12's busybox falls over it (a segmentation fault, 1.35.0-4+deb12u1). A connection that is silent for a minute is ended.
    wget -q -c -O "$file" "$url" >said 2>&1 &
    fetch=$! silent=0 before=
    while kill -0 $fetch 2>/dev/null; do
      sleep 1
      now=$(stat -c %s "$file" 2>/dev/null)
      if [ "$now" = "$before" ]; then silent=$((silent + 1)); else silent=0 before=$now; fi
      [ $silent -lt 60 ] || kill $fetch 2>/dev/null
    done
    if wait $fetch; then
      [ "$(sha256sum "$file" | cut -d' ' -f1)" != "$want" ] || break
      rm -f "$file"
      from_server "what came is not what the plan names" || fail "at fetch: what came is not what the plan names"
      continue
    fi
    cat said >>log
    why=$(tail -n 1 said | text)
    now=$(stat -c %s "$file" 2>/dev/null || echo 0)
    # It goes on where it was cut. A rack that installs at once is let in by turns: 503 is no end.
    case $why in
    *' 408'* | *' 429'* | *' 503'*) ;;
    *' 4'[0-9][0-9]*) from_server "$why" || fail "at fetch: $why" ;;
    *) if [ "$now" -gt $have ]; then tries=0; else tries=$((tries + 1)); fi ;;
    esac
    have=$now
    [ $tries -lt 3 ] || from_server "$why"
    # The other half of the time is for writing.
    [ $tries -lt 20 ] && [ $(($(cut -d. -f1 /proc/uptime) - began)) -lt $(($(order seconds) / 2)) ] ||
      fail "at fetch: ${why:-the connection ended early}"
    sleep $((1 + $(od -An -N1 -tu1 /dev/urandom) % 4))
  done
fi

step check
name=$(order disk)
disk=/dev/$(echo "$name" | tr '!' /)
path=/sys/block/$name
# Names move between boots and when a cable is pulled: the disk that is written is the one that was chosen, or none.
[ "$(serial_of "$path")" = "$(order serial)" ] && [ "$(wwn_of "$path")" = "$(order wwn)" ] &&
  [ $(($(cat "$path/size") * 512)) = "$(order size)" ] || fail "the disk $name is not the one that was chosen any more"
used=$(users_of "$path" | text)
[ -z "$used" ] || fail "the disk is in use: $used"
held=$([ "$(order blank)" != yes ] || content_of "$path" | text)
[ -z "$held" ] || fail "the disk was blank when it was chosen, and is not any more: $held"
order file | while read -r file digest; do
  [ "$(sha256sum "$file" 2>/dev/null | cut -d' ' -f1)" = "$digest" ] || echo "$file"
done >wrong
[ ! -s wrong ] || fail "not what was sent: $(text <wrong)"

