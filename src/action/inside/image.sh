# The installer's second half for an image of a whole disk: writes it as it is, reads it back from the disk, and puts its partition table in
# front last; until then nothing starts from the disk, whose table is one of ours. No file of the image is changed, only its GPT: the second
# one goes to the end of the disk, and the GUID of the table becomes the one of the order.
bytes=$(order bytes)
sectors=$(($(order size) / 512))
unpack() {
  case $(order packed) in
  zstd) "$(tool zstd)" -dcq root ;;
  *) cat root ;;
  esac 2>>log
}
# The number of $2 bytes at byte $1 of the image.
number() { od -An -tu"$2" -j "$1" -N "$2" head | tr -d ' '; }

step "look into the image"
# An image's table counts in sectors of 512 bytes; a disk with others would not find it.
sector=$(first "$path/queue/logical_block_size")
[ "$sector" = 512 ] || fail "the disk has sectors of ${sector:-unknown} bytes, and images of disks are written to sectors of 512 only"
unpack | dd bs=$MIB count=1 iflag=fullblock of=head 2>/dev/null
[ "$(stat -c %s head)" = $MIB ] && [ "$(dd if=head bs=8 skip=64 count=1 2>/dev/null | text)" = 'EFI PART' ] ||
  fail "the image has no GPT in sectors of 512 bytes, so no UEFI starts it"
# The header tells the last block for partitions at 48, where its entries begin at 72, how many and how long they are at 80 and 84. Behind
# the last block lie 33 sectors of the second table, when its entries have the usual 16 KiB (UEFI 2.10, 5.3).
[ "$(number 584 8)" = 2 ] && [ $(($(number 592 4) * $(number 596 4))) -le 16384 ] ||
  fail "the image's GPT has more entries than 128, or has them at an unusual place"
last=$(number 560 8)
[ "$last" -gt 0 ] && [ "$last" -le $((sectors - 34)) ] && [ "$bytes" -le "$(order size)" ] ||
  fail "the image needs a disk of $(((last + 34) * 512)) bytes"
# Its tables for this disk, made on a file as long as the disk. Two names: whoever finds the second one finds a disk that was read back.
rm -f table
dd if=/dev/null of=table bs=512 seek=$sectors 2>>log && dd if=head of=table bs=$MIB conv=notrunc 2>>log ||
  fail "at $step: $(tail -n 1 log | text)"
run "$(tool sfdisk)" --quiet --relocate gpt-bak-std table
end="bs=512 count=33 skip=$((sectors - 33))"
for name in disk-uuid made; do
  run "$(tool sfdisk)" --quiet --disk-id table "$(order $name)"
  [ "$("$(tool sfdisk)" --disk-id table 2>>log | tr A-F a-f)" = "$(order $name)" ] || fail "at $step: its GPT could not be named"
  run dd if=table of=front.$name bs=$MIB count=1
  run dd if=table of=end.$name $end
  # The size in the protective MBR (446 to 511) and the header (92 bytes from 512) are all that differs from the image.
  other=$(cmp -l head front.$name | awk '{ at = $1 - 1 } (at < 446 || at > 511) && (at < 512 || at > 603) { print at; exit }')
  [ -z "$other" ] || fail "at $step: more than the header would change, at byte $other"
done

step partition
clear_ends
run "$(tool sfdisk)" --quiet --wipe always --wipe-partitions always "$disk" <<TABLE
label: gpt
label-id: $(order disk-uuid)
type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=bringup-unfinished
TABLE

step write
rm -f torn
{ unpack || echo "exit code $?" >torn; } | {
  dd bs=$MIB count=1 iflag=fullblock of=/dev/null 2>/dev/null
  dd bs=$MIB seek=1 iflag=fullblock conv=notrunc,fsync of="$disk" 2>>log || echo "$(tail -n 1 log | text)" >torn
}
[ ! -s torn ] || fail "at write: $(text <torn): $(tail -n 1 log | text)"

step "read back"
forget
# The first MiB is not on it yet. Not by `head -c`: busybox's takes byte by byte.
found=$({
  cat head
  dd if="$disk" bs=$MIB skip=1 count=$((bytes / MIB - 1))
  dd if="$disk" bs=512 skip=$((bytes / MIB * 2048)) count=$((bytes % MIB / 512))
} 2>>log | sha256sum | cut -d' ' -f1)
[ "$found" = "$(order sha256)" ] || fail "what was read back has SHA-256 $found, and the image's is $(order sha256)"

step table
same() {
  forget
  dd if="$disk" bs=$MIB count=1 2>>log | cmp -s - front."$1" || fail "at table: what was read back differs"
  dd if="$disk" $end 2>>log | cmp -s - end."$1" || fail "at table: what was read back from the end differs"
}
# Under the name of a disk that is not finished: a power cut in the midst of many sectors leaves some of them.
run dd if=front.disk-uuid of="$disk" bs=$MIB conv=notrunc,fsync
run dd if=end.disk-uuid of="$disk" bs=512 seek=$((sectors - 33)) conv=notrunc,fsync
same disk-uuid
# Last the name, which is one sector; the first copy decides.
run dd if=end.made of="$disk" bs=512 count=1 skip=32 seek=$((sectors - 1)) conv=notrunc,fsync
run dd if=front.made of="$disk" bs=512 count=1 skip=1 seek=1 conv=notrunc,fsync
same made
finish
