# After disks.sh: all disks, and whether this system has what the installer calls.
for name in $(names); do describe "$name"; done
for name in sfdisk mke2fs mkfs.fat unsquashfs blkid; do tool $name >/dev/null || echo "lacks $name"; done
[ -d /sys/firmware/efi ] || echo "lacks UEFI"
for loader in /usr/lib/systemd/boot/efi/systemd-boot*.efi; do [ -s "$loader" ] || echo "lacks systemd-boot"; done
echo whole
