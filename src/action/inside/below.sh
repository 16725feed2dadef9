# After disks.sh: the disk that the root file system lies on.
number=$(awk '$5 == "/" { dev = $3 } END { print dev }' /proc/self/mountinfo)
part=$(readlink -f "/sys/dev/block/$number")
[ -e "$part/partition" ] && part=${part%/*}
[ -e "$part/size" ] || { echo "the root file system (device $number) lies on no disk" >&2 && exit 1; }
facts_of "${part##*/}"
echo end
echo whole
