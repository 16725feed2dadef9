# After disks.sh: the disk that the root file system lies on, and the GUID of its partition table. Reads only.
number=$(awk '$5 == "/" { dev = $3 } END { print dev }' /proc/self/mountinfo)
part=$(readlink -f "/sys/dev/block/$number")
if [ ! -e "$part/size" ]; then
  # A btrfs has a number of its own; the mount says by which device it was found.
  source=$(awk '$5 == "/" { for (n = 6; n < NF; n++) if ($n == "-") from = $(n + 2) } END { print from }' /proc/self/mountinfo)
  case $source in /dev/*) part=$(readlink -f "/sys/class/block/$(basename "$(readlink -f "$source")")") ;; esac
fi
# A logical volume, a crypt or a RAID of one disk lies on that disk; of several, on none that could be named.
while :; do
  [ -e "$part/partition" ] && part=${part%/*}
  set -- "$part"/slaves/*
  [ -e "$1" ] || break
  [ $# = 1 ] || { echo "the root file system lies on $# disks" >&2 && exit 1; }
  part=$(readlink -f "$1")
done
[ -e "$part/size" ] || { echo "the root file system (device $number) lies on no disk" >&2 && exit 1; }
facts_of "${part##*/}"
# Its second block; octets 56 to 71 are the GUID (UEFI 2.10, 5.3.2), of which the first three parts are little-endian (appendix A).
block=$(first "$path/queue/logical_block_size")
hex=$(dd if="/dev/$(echo "${part##*/}" | tr '!' /)" bs="${block:-512}" skip=1 count=1 2>/dev/null | od -An -v -tx1 -N 72 | tr -d ' \n')
case $hex in
4546492050415254*)
  echo "table $(echo "$hex" | cut -c113- | sed 's/\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(....\)/\4\3\2\1-\6\5-\8\7-\9-/')"
  ;;
esac
echo end
echo whole
