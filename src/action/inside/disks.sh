# The disks of this machine as sysfs knows them, one fact a line; a disk begins with `disk NAME` and ends with `end`. Reads only.
# What a disk holds is told by every sign that is found; a disk that tells none is blank: no partitions, no signature, nobody who uses it, and
# nothing but zeros where any file system, RAID or volume manager keeps its labels (the first 16 MiB and the last 4).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
MIB=1048576
# Where a program lies. Not by name alone: busybox's shell takes its own applet of that name first, which may do less.
tool() {
  for folder in /usr/sbin /usr/bin /sbin /bin; do
    [ -x "$folder/$1" ] && case $(readlink "$folder/$1") in *busybox) ;; *) echo "$folder/$1" && return ;; esac
  done
  return 1
}

# Printable, on one line, cut.
text() { tr -cd ' -~\n' | tr '\n' ' ' | sed 's/  */ /g;s/^ //;s/ $//' | cut -c1-128; }
# The first of these files that says something.
first() {
  for file in "$@"; do
    said=$(text 2>/dev/null <"$file") && [ -n "$said" ] && echo "$said" && return
  done 2>/dev/null
  return 0
}

serial_of() {
  # SCSI's page 80h has four bytes before the serial number (SPC-5, 7.7.18); ATA disks have it by the kernel's translation.
  said=$(first "$1/serial" "$1/device/serial")
  [ -n "$said" ] || said=$(tail -c +5 "$1/device/vpd_pg80" 2>/dev/null | text)
  echo "$said"
}
wwn_of() { first "$1/wwid" "$1/device/wwid"; }

transport_of() {
  path=$(readlink -f "$1/device")
  case $path in
  */virtio[0-9]*) echo virtio ;;
  */usb[0-9]*) echo usb ;;
  */ata[0-9]*) echo sata ;;
  *)
    case ${1##*/} in
    nvme*) [ "$(first "$1/device/transport" "$1"/device/nvme*/transport)" = pcie ] && echo nvme || echo fabric ;;
    mmcblk*) echo mmc ;;
    sd*)
      # A SATA disk behind a SAS controller says so by its vendor.
      if [ "$(first "$1/device/vendor")" = ATA ]; then echo sata; else
        case $path in */end_device-*) echo sas ;; *) echo other ;; esac
      fi
      ;;
    *) echo other ;;
    esac
    ;;
  esac
}

# Who uses a disk or one of its partitions now.
users_of() {
  for part in "$1" "$1"/*/; do
    part=${part%/}
    [ "$part" = "$1" ] || [ -e "$part/partition" ] || continue
    for holder in "$part"/holders/*; do [ -e "$holder" ] && echo "used ${part##*/} is held by ${holder##*/}"; done
    number=$(cat "$part/dev")
    where=$(awk -v dev="$number" '$3 == dev { print $5; exit }' /proc/self/mountinfo)
    [ -n "$where" ] && echo "used ${part##*/} is mounted at $(echo "$where" | text)"
    grep -q "^/dev/${part##*/} " /proc/swaps && echo "used ${part##*/} is swap"
  done
  return 0
}

# What lies on it.
content_of() {
  name=${1##*/}
  dev=/dev/$(echo "$name" | tr '!' /)
  for part in "$1"/*/; do
    [ -e "$part/partition" ] && echo "holds partition $(cat "$part/partition") of $(($(cat "$part/size") * 512)) bytes"
  done
  if blkid=$(tool blkid); then
    for part in "$dev" "$dev"?*; do
      [ -b "$part" ] || continue
      case $part in "$dev" | "$dev"[0-9]* | "$dev"p[0-9]*) ;; *) continue ;; esac
      sign=$($blkid -p -o export "$part" 2>/dev/null | grep -E '^(PTTYPE|PTUUID|TYPE|LABEL|UUID|PART_ENTRY_NAME)=' | text)
      [ -n "$sign" ] && echo "holds ${part#/dev/}: $sign"
    done
  fi
  size=$(($(cat "$1/size") * 512))
  tail=$((size / MIB > 4 ? size / MIB - 4 : 0))
  head=$((size < 16 * MIB ? size : 16 * MIB))
  # Something that cannot be read differs from zeros too.
  dd if="$dev" bs=$MIB count=16 2>/dev/null | cmp -s -n $head - /dev/zero || echo "holds bytes that are not zero in its first 16 MiB"
  dd if="$dev" bs=$MIB skip=$tail 2>/dev/null | cmp -s -n $((size - tail * MIB)) - /dev/zero || echo "holds bytes that are not zero at its end"
}

# Names of all disks: what has a device behind it and takes blocks. No CD drives (SCSI type 5), nothing hidden, nothing empty.
names() {
  for path in /sys/block/*; do
    [ -e "$path/device" ] || continue
    [ "$(first "$path/hidden")" = 1 ] && continue
    [ "$(cat "$path/size")" -gt 0 ] || continue
    case ${path##*/} in sr* | fd* | loop* | mmcblk*boot* | mmcblk*rpmb) continue ;; esac
    [ "$(first "$path/device/type")" = 5 ] && continue
    echo "${path##*/}"
  done
}

facts_of() {
  path=/sys/block/$1
  echo "disk $1"
  echo "size $(($(cat "$path/size") * 512))"
  echo "serial $(serial_of "$path")"
  echo "wwn $(wwn_of "$path")"
  echo "model $(first "$path/device/model")"
  echo "transport $(transport_of "$path")"
  echo "rotational $(first "$path/queue/rotational")"
  [ "$(cat "$path/ro")" = 1 ] && echo readonly
  return 0
}
describe() {
  facts_of "$1"
  users_of "$path"
  content_of "$path"
  echo end
}
