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

step "look into the image"
# An image's table counts in sectors of 512 bytes; a disk with others would not find it.
sector=$(first "$path/queue/logical_block_size")
[ "$sector" = 512 ] || fail "the disk has sectors of ${sector:-unknown} bytes, and images of disks are written to sectors of 512 only"
unpack | dd bs=$MIB count=1 iflag=fullblock of=head 2>/dev/null
[ "$(stat -c %s head)" = $MIB ] && [ "$(dd if=head bs=8 skip=64 count=1 2>/dev/null | text)" = 'EFI PART' ] ||
  fail "the image has no GPT in sectors of 512 bytes, so no UEFI starts it"
# Behind the last block that partitions may use lie 33 sectors of the second table (UEFI 2.10, 5.3).
last=$(od -An -tu8 -j 560 -N 8 head | tr -d ' ')
[ "$last" -gt 0 ] && [ "$last" -le $((sectors - 34)) ] && [ "$bytes" -le "$(order size)" ] ||
  fail "the image needs a disk of $(((last + 34) * 512)) bytes"

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
# From the disk, not from memory; the first MiB is not on it yet.
echo 3 >/proc/sys/vm/drop_caches
found=$({
  cat head
  dd if="$disk" bs=$MIB skip=1 count=$(((bytes - 1) / MIB)) 2>>log | head -c $((bytes - MIB))
} | sha256sum | cut -d' ' -f1)
[ "$found" = "$(order sha256)" ] || fail "what was read back has SHA-256 $found, and the image's is $(order sha256)"

step table
# Made on a file as long as the disk, so that the disk gets it in one piece.
rm -f table
dd if=/dev/null of=table bs=512 seek=$sectors 2>>log && dd if=head of=table bs=$MIB conv=notrunc 2>>log || fail "at table: $(tail -n 1 log | text)"
run "$(tool sfdisk)" --quiet --relocate gpt-bak-std table
run "$(tool sfdisk)" --quiet --disk-id table "$(order made)"
run dd if=table of=front bs=$MIB count=1
# The size in the protective MBR (446 to 511) and the header (92 bytes from 512) are all that differs from the image.
other=$(cmp -l head front | awk '{ at = $1 - 1 } (at < 446 || at > 511) && (at < 512 || at > 603) { print at; exit }')
[ -z "$other" ] || fail "at table: more than the header would change, at byte $other"
end="bs=512 count=33 skip=$((sectors - 33))"
run dd if=table of="$disk" $end seek=$((sectors - 33)) conv=notrunc,fsync
# Last: until it is there, the disk starts nothing.
run dd if=front of="$disk" bs=$MIB conv=notrunc,fsync
echo 3 >/proc/sys/vm/drop_caches
dd if="$disk" bs=$MIB count=1 2>>log | cmp -s - front || fail "at table: what was read back differs"
dd if=table $end of=want 2>>log
dd if="$disk" $end 2>>log | cmp -s - want || fail "at table: what was read back from the end differs"
finish
