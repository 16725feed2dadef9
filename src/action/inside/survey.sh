# After disks.sh: all disks, and whether this system has what the installer calls.
for name in $(names); do describe "$name"; done
for tool in sfdisk mke2fs mkfs.fat unsquashfs blkid; do command -v $tool >/dev/null || echo "lacks $tool"; done
[ -d /sys/firmware/efi ] || echo "lacks UEFI"
for loader in /usr/lib/systemd/boot/efi/systemd-boot*.efi; do [ -s "$loader" ] || echo "lacks systemd-boot"; done
echo whole
