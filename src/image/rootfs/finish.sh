# After the last package, with the site's files in place: modules indexed, units enabled, and away with all that is one machine's or one build's.
# The build writes release, epoch, enable, mask, timezone, locale and apt (yes or nothing) before this.
set -eu
umask 022
root=$1
fail() {
  echo "E: $*" >&2
  exit 1
}
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C SOURCE_DATE_EPOCH="$epoch" "$@"; }

[ -x "$root/usr/sbin/depmod" ] || fail "the root has no depmod; name the package kmod"
[ -x "$root/sbin/init" ] || [ -h "$root/sbin/init" ] || fail "the root has no /sbin/init; name the package systemd-sysv"
inside depmod "$release" || fail "depmod $release failed"
for other in "$root"/usr/lib/modules/*; do
  [ "${other##*/}" = "$release" ] || fail "a package or file brings modules of the kernel ${other##*/}, and the image's kernel is $release"
done

for unit in $enable; do
  inside systemctl --quiet enable "$unit" || fail "the unit $unit cannot be enabled; does a package bring it?"
done
for unit in $mask; do
  mkdir -p "$root/etc/systemd/system"
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

[ "$timezone" = Etc/UTC ] || [ -e "$root/usr/share/zoneinfo/$timezone" ] || fail "the root has no time zone $timezone; name the package tzdata"
ln -sf "/usr/share/zoneinfo/$timezone" "$root/etc/localtime"
[ -e "$root/usr/share/zoneinfo/$timezone" ] || rm "$root/etc/localtime"
echo "$timezone" >"$root/etc/timezone"
case $locale in
C | C.UTF-8 | POSIX) ;;
*) [ -e "$root/usr/lib/locale/locale-archive" ] || [ -d "$root/usr/lib/locale/$locale" ] ||
  fail "the root has no locale $locale; name the package locales-all" ;;
esac
mkdir -p "$root/etc/default"
echo "LANG=$locale" >"$root/etc/default/locale"

# Nobody logs in with a password, root on no terminal at all; keys come with each boot.
sed -i 's/^root:[^:]*:/root:*:/' "$root/etc/shadow"
rm -f "$root"/etc/ssh/ssh_host_*
# One machine's: each node makes its own.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
[ ! -d "$root/var/lib/dbus" ] || ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
rm -f "$root/var/lib/systemd/random-seed" "$root/var/lib/systemd/credential.secret"
# The build machine's own.
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
[ -z "$hostname" ] || echo "$hostname" >"$root/etc/hostname"
# What the ramdisk learned of DHCP; systemd-resolved, where it is enabled, knows better.
case " $enable " in
*" systemd-resolved.service "*) ln -s /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf" ;;
*) ln -s /run/resolv.conf "$root/etc/resolv.conf" ;;
esac
# One build's: the settings of this build, logs, locks, backups, caches that name inodes or hold times.
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
[ -n "$apt" ] || rm -f "$root/etc/apt/sources.list"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root/var/cache/ldconfig"
rm -f "$root"/etc/.pwd.lock "$root"/etc/passwd- "$root"/etc/shadow- "$root"/etc/group- "$root"/etc/gshadow- "$root"/etc/subuid- "$root"/etc/subgid-
rm -f "$root"/var/lib/dpkg/*-old "$root"/var/lib/dpkg/lock* "$root/var/lib/dpkg/triggers/Lock" "$root"/var/cache/debconf/*-old
find "$root/var/log" -type f -delete
find "$root" -xdev -type d -name __pycache__ -prune -exec rm -rf {} +
rm -rf "$root"/root/.bash_history "$root"/root/.cache
for folder in tmp var/tmp run; do
  [ ! -d "$root/$folder" ] || find "$root/$folder" -xdev -mindepth 1 -delete
done
