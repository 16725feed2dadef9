# After disks.sh: all disks, and whether this system has what the installer calls.
# Drivers come in the background, and controllers take seconds to show their disks: while one is missing, a rule may mean another one. So the list
# is made when no driver and no disk has come or gone for ten seconds. Seen on QEMU: a virtio disk that was there seconds after an NVMe one.
quiet=0 waited=0 before=
until [ $quiet -ge 10 ]; do
  # Of a module: its name, and whether it is still being loaded (proc_modules(5)).
  now=$(names; cut -d " " -f 1,5 /proc/modules 2>/dev/null)
  if [ "$now" = "$before" ]; then quiet=$((quiet + 1)); else quiet=0 before=$now; fi
  [ $((waited += 1)) -le 90 ] || { echo restless && break; }
  sleep 1
done
for name in $(names); do describe "$name"; done
for name in sfdisk mke2fs mkfs.fat unsquashfs blkid zstd; do tool $name >/dev/null || echo "lacks $name"; done
[ -d /sys/firmware/efi ] || echo "lacks UEFI"
for loader in /usr/lib/systemd/boot/efi/systemd-boot*.efi; do [ -s "$loader" ] || echo "lacks systemd-boot"; done
# What there is for files, in bytes, with what an earlier try has brought.
room=$(df -Pk /run 2>/dev/null | awk 'NR == 2 { print $4 }')
held=$(stat -c %s /run/bringup/install/root 2>/dev/null)
[ "${room:-0}" -gt 0 ] && echo "room $((room * 1024 + ${held:-0}))"
echo whole
