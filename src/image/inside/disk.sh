# The way to a root file system on a disk, sourced by init when the kernel's command line says `root=UUID=…` or `root=LABEL=…`. It ends in the
# system that lies there; when there is none it tells so, and init goes on as in a boot over the network.
wanted=$(argument root)
waited=0
# Controllers may take a minute to show their disks; `rootdelay=` as the kernel has it, in seconds.
patience=$(argument rootdelay)
until part=$(findfs "$wanted" 2>/dev/null) && [ -b "$part" ]; do
  [ $((waited += 1)) -le $((${patience:-180} * 5)) ] || break
  usleep 200000
done
mkdir -p /sysroot
kind=$(argument rootfstype)
# What a file system is, is found by trying the kinds that the kernel knows.
modprobe -q "${kind:-ext4}" 2>/dev/null
# shellcheck disable=SC2086 # a kind is one word or none
if [ ! -b "$part" ]; then
  stage "disk refused: no file system $wanted was found"
elif ! mount ${kind:+-t $kind} "$part" /sysroot 2>/run/bringup/mount; then
  stage "disk refused: $part cannot be mounted: $(tr -cd ' -~' </run/bringup/mount | cut -c1-200)"
elif begin=$(argument init) && [ ! -x "/sysroot${begin:=/sbin/init}" ] && [ ! -L "/sysroot$begin" ]; then
  stage "disk refused: $wanted holds no $begin"
  umount /sysroot
else
  stage "disk $wanted"
  # What looks for drivers ends first: a system on a disk may have none of its own.
  wait $!
  for folder in dev proc sys run; do
    mkdir -p /sysroot/$folder
    mount -o move /$folder /sysroot/$folder
  done
  exec switch_root /sysroot "$begin"
fi
