# The installer's second half for the parts of a system: makes partitions and file systems, unpacks the root, puts a boot loader in front.
step partition
clear_ends
cat >table <<TABLE
label: gpt
label-id: $(order disk-uuid)
size=512MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=bringup-esp
type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=bringup-unfinished
TABLE
run "$(tool sfdisk)" --quiet --wipe always --wipe-partitions always "$disk" <table
partition() {
  for part in "$path"/*/partition; do
    [ "$(cat "$part" 2>/dev/null)" = "$1" ] && part=${part%/partition} && echo "/dev/${part##*/}" && return
  done
}
waited=0
while esp=$(partition 1) && root=$(partition 2) && ! { [ -b "$esp" ] && [ -b "$root" ]; }; do
  [ $((waited += 1)) -lt 600 ] || fail "at partition: the kernel did not show the new partitions in 60 s"
  sleep 0.1
done

step format
run "$(tool mkfs.fat)" -F 32 -n BRINGUP "$esp"
# Discarding first would take minutes on large disks and gives nothing that the file system needs.
run "$(tool mke2fs)" -q -F -t ext4 -E nodiscard -U "$(order root-uuid)" -L bringup-root "$root"
mkdir -p $mnt/root $mnt/esp $mnt/image
run mount -t ext4 "$root" $mnt/root
run mount -t vfat "$esp" $mnt/esp

step write
# Bounds on its queues, in MiB: its own are a share of the memory that the image lies in.
run "$(tool unsquashfs)" -f -no-progress -strict-errors -data-queue 64 -frag-queue 64 -d $mnt/root root

step "read back"
run umount $mnt/root
forget
run mount -t ext4 "$root" $mnt/root
run mount -t squashfs -o loop,ro root $mnt/image
sums() { (cd "$1" && find . -xdev -path ./lost+found -prune -o -type f -exec sha256sum {} + | sort -k 2); }
sums $mnt/image >sums.image &
sums $mnt/root >sums.root
wait $!
# Two empty lists are equal, and prove nothing.
[ -s sums.image ] || fail "at read back: no file of the image could be read"
cmp -s sums.image sums.root || fail "what was read back differs: $(diff sums.image sums.root | grep '^[<>]' | head -n 3 | text)"
umount $mnt/image

step "first boot"
new=$mnt/root
mkdir -p $new/etc/bringup $new/root $new/proc $new/sys $new/dev $new/run $new/tmp
chmod 1777 $new/tmp
order node >$new/etc/hostname
printf 'UUID=%s / ext4 defaults,errors=remount-ro 0 1\n' "$(order root-uuid)" >$new/etc/fstab
grep -E '^(plan|image|node|disk-uuid|serial|wwn) ' order >$new/etc/bringup/installed
# An empty one is made up at the first boot (machine-id(5)); one that came with the image would be everybody's.
[ -e $new/etc/systemd ] && : >$new/etc/machine-id
rm -f $new/var/lib/dbus/machine-id
# The node keeps the identity that it showed while it was installed.
umask 077
key=/etc/bringup/host_key
if [ -s $key ]; then
  rm -f $new/etc/ssh/ssh_host_*
  if [ -d $new/etc/ssh ] && command -v dropbearconvert >/dev/null; then
    run dropbearconvert dropbear openssh $key $new/etc/ssh/ssh_host_ed25519_key
  fi
  [ -d $new/etc/dropbear ] && run cp $key $new/etc/dropbear/dropbear_ed25519_host_key
  [ -d $new/etc/ssh ] || [ -d $new/etc/dropbear ] || run cp $key $new/etc/bringup/host_key
fi
if [ -s /root/.ssh/authorized_keys ]; then
  mkdir -p $new/root/.ssh
  run cp /root/.ssh/authorized_keys $new/root/.ssh/authorized_keys
  chmod 700 $new/root $new/root/.ssh
fi
umask 022
mac=$(order mac)
if [ -n "$mac" ] && [ -e $new/lib/systemd/systemd-networkd ]; then
  nic=$(grep -li "^$mac\$" /sys/class/net/*/address | head -n 1)
  nic=${nic%/address}
  mkdir -p $new/etc/systemd/network
  {
    printf '[Match]\nMACAddress=%s\n\n[Network]\n' "$mac"
    # The address that this system was told on its command line, or DHCP as it did.
    held=$(first "/run/bringup/net/${nic##*/}")
    if [ -n "$held" ] && grep -Eq '(^| )ip=[0-9]' /proc/cmdline; then
      echo "Address=$held"
      ip route | sed -n "s/^default via \([0-9.]*\) .*/Gateway=\1/p" | head -n 1
    else
      # As the ramdisk did: the server knows machines by MAC address; a lease lost takes no address away from under the node.
      printf 'DHCP=ipv4\nKeepConfiguration=dhcp\n\n[DHCPv4]\nClientIdentifier=mac\n'
    fi
  } >$new/etc/systemd/network/10-bringup.network
fi
if [ -d $new/etc/cloud ]; then
  seed=$new/var/lib/cloud/seed/nocloud
  mkdir -p $seed $new/etc/cloud/cloud.cfg.d
  printf 'instance-id: %s\nlocal-hostname: %s\n' "$(order disk-uuid)" "$(order node)" >$seed/meta-data
  printf '#cloud-config\nssh_deletekeys: false\n' >$seed/user-data
  printf 'datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\n' >$new/etc/cloud/cloud.cfg.d/99-bringup.cfg
fi

step loader
case $(uname -m) in aarch64) arch=aa64 ;; *) arch=x64 ;; esac
mkdir -p $mnt/esp/EFI/BOOT $mnt/esp/loader/entries $mnt/esp/bringup
# Where firmware looks on a disk that it has no entry for (UEFI 2.10, 3.5.1.1).
run cp /usr/lib/systemd/boot/efi/systemd-boot$arch.efi "$mnt/esp/EFI/BOOT/BOOT$(echo $arch | tr a-z A-Z).EFI"
printf 'default bringup.conf\ntimeout 0\neditor no\n' >$mnt/esp/loader/loader.conf
{
  printf 'title %s\nlinux /bringup/kernel\n' "$(order node)"
  order file | while read -r file _; do
    case $file in initrd*) echo "initrd /bringup/$file" ;; esac
  done
  echo "options $(order options)"
} >entry
order file | cut -d' ' -f1 | while read -r file; do
  [ "$file" = root ] || cp "$file" "$mnt/esp/bringup/$file" || echo "$file"
done >wrong 2>>log
[ ! -s wrong ] || fail "at loader: no room on the boot partition for $(text <wrong)"
run umount $mnt/esp
forget
run mount -t vfat "$esp" $mnt/esp
order file | while read -r file digest; do
  [ "$file" = root ] || [ "$(sha256sum "$mnt/esp/bringup/$file" | cut -d' ' -f1)" = "$digest" ] || echo "$file"
done >wrong
[ ! -s wrong ] || fail "at loader: what was read back differs: $(text <wrong)"
# Last: until it is there, the disk starts nothing.
run cp entry $mnt/esp/loader/entries/bringup.conf

step end
run umount $mnt/esp
run umount $mnt/root
run "$(tool sfdisk)" --quiet --no-reread --part-label "$disk" 2 bringup-root
finish
