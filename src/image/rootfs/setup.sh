# Before the first package: the folders that Debian 12 has below /usr, under both names. The build writes arch before this.
set -eu
umask 022
for folder in bin sbin lib; do
  mkdir -p "$1/usr/$folder"
  ln -s "usr/$folder" "$1/$folder"
done
case $arch in x86_64) mkdir -p "$1/usr/lib64" && ln -s usr/lib64 "$1/lib64" ;; esac
