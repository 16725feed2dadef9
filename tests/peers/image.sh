#!/bin/bash
# Builds what the laboratory's machines boot, from Debian packages alone:
#   vmlinuz, initrd.gz   Debian's cloud kernel and a small system (busybox, dropbear) that takes a DHCP lease and lets `root` in by key
#   disk.img             an EFI system partition that boots the SAME system with `bringup-lab.from=disk` on its command line: only the
#                        command line tells a machine that fell back to its disk from one that obeyed the boot override
#   id_ed25519           the key that lets in;  host_key.fingerprint: `SHA256:…` of the host key baked into the image
# Same inputs, same bytes: names sorted, owners and times set, nothing random but the two keys, which are made once.
set -euo pipefail
. "$(dirname "$0")/env.sh"

umask 022
mkdir -p "$BUILT"
recipe=$(cat "$0" "$HERE/init.sh" | sha256sum | cut -c1-64)
if [ "$(cat "$BUILT/.recipe" 2>/dev/null)" = "$recipe" ] && (cd "$BUILT" && sha256sum --quiet -c SHA256SUMS) 2>/dev/null; then
  echo "image: present"
  exit 0
fi
exec 9>"$BUILT/.lock"
flock 9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Kernel, unpacked and never installed.
if ! compgen -G "$BUILT/kernel/boot/vmlinuz-*" >/dev/null; then
  "$HERE/packages.sh" fetch linux-image-cloud-amd64 "$work/deb"
  rm -rf "$BUILT/kernel"
  dpkg-deb -x "$work"/deb/linux-image-*.deb "$BUILT/kernel"
fi
modules=$(echo "$BUILT"/kernel/lib/modules/*)
release=$(basename "$modules")
[ -s "$modules/modules.dep" ] || depmod -b "$BUILT/kernel" "$release"
cp "$BUILT/kernel/boot/vmlinuz-$release" "$BUILT/vmlinuz"

# Keys. dropbear has its own format for host keys, so the fingerprint is taken from what it prints.
[ -s "$BUILT/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C bringup-lab -f "$BUILT/id_ed25519"
[ -s "$BUILT/host_key" ] || dropbearkey -t ed25519 -f "$BUILT/host_key" >/dev/null 2>&1
dropbearkey -y -f "$BUILT/host_key" 2>/dev/null | grep '^ssh-ed25519' >"$BUILT/host_key.pub"
ssh-keygen -l -E sha256 -f "$BUILT/host_key.pub" | awk '{ print $2 }' >"$BUILT/host_key.fingerprint"

# The small system.
root=$work/root
mkdir -p "$root"/{bin,dev,etc/dropbear,proc,root/.ssh,run,sys,tmp,var/tmp}
cp /bin/busybox "$root/bin/"
for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
cp /usr/sbin/dropbear "$root/bin/dropbear"
ldd /usr/sbin/dropbear | grep -o '/[^ ]*' | while read -r library; do install -D -m 755 "$library" "$root$library"; done
for module in virtio_pci virtio_net virtio_blk virtio_rng af_packet; do
  # --show-depends names the file of each module that has to go in first, in order; built-in ones are named otherwise and left out.
  { modprobe -d "$BUILT/kernel" -S "$release" --show-depends "$module" 2>/dev/null || true; } | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' >"$work/modules"
grep -q virtio_net "$work/modules" || { echo "image: no virtio_net module in $release" >&2; exit 1; }
mkdir -p "$root/modules"
while read -r file; do
  cp "$file" "$root/modules/"
  basename "$file" >>"$root/modules/order"
done <"$work/modules"
cp "$BUILT/host_key" "$root/etc/dropbear/host_key"
cp "$BUILT/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
chmod 700 "$root/root" "$root/root/.ssh"
chmod 600 "$root/root/.ssh/authorized_keys" "$root/etc/dropbear/host_key"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo /bin/sh >"$root/etc/shells"
install -m 755 "$HERE/init.sh" "$root/init"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --reproducible --owner=0:0 --quiet) | gzip -n -6 >"$BUILT/initrd.gz"

# The disk: a bare FAT file system with GRUB as the removable-media loader.
cat >"$work/early.cfg" <<X
search --no-floppy --file /lab/vmlinuz --set=root
linux /lab/vmlinuz console=ttyS0 bringup-lab.from=disk
initrd /lab/initrd.gz
boot
X
grub-mkimage -O x86_64-efi -p /lab -c "$work/early.cfg" -o "$work/BOOTX64.EFI" fat linux normal search search_fs_file boot
touch -d @1000000000 "$work/BOOTX64.EFI"
rm -f "$BUILT/disk.img"
truncate -s 48M "$BUILT/disk.img"
export SOURCE_DATE_EPOCH=1000000000 MTOOLS_SKIP_CHECK=1 TZ=UTC
mformat -i "$BUILT/disk.img" -N 42524c42 -v BRINGUPLAB -F ::
mmd -i "$BUILT/disk.img" ::/EFI ::/EFI/BOOT ::/lab
mcopy -m -i "$BUILT/disk.img" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
for file in vmlinuz initrd.gz; do
  cp "$BUILT/$file" "$work/$file"
  touch -d @1000000000 "$work/$file"
  mcopy -m -i "$BUILT/disk.img" "$work/$file" "::/lab/$file"
done

(cd "$BUILT" && sha256sum vmlinuz initrd.gz disk.img >SHA256SUMS)
echo "$recipe" >"$BUILT/.recipe"
echo "image: built ($release, initrd $(stat -c %s "$BUILT/initrd.gz") bytes)"
