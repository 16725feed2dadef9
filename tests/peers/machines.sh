#!/bin/bash
# The machines: libvirtd inside the namespace, and one defined, powered-off QEMU machine for each number, with UEFI, serial, UUID and MAC.
# Each has two virtio-rng devices (PCI 1af4:1044) that stand for accelerators: real PCI Express functions which sysfs shows in
# full, with link and error counters (AER).
# Firmware is told to leave IPv6 PXE alone: nobody answers it, and each try takes a minute.
# Software emulation (TCG) always: where /dev/kvm exists it may accept a machine and never run it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
dir=$STATE/libvirt
mkdir -p "$dir"/{etc,var,run,log,cache,disks}

cat >"$dir/etc/libvirtd.conf" <<X
listen_tls = 0
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:$dir/log/libvirtd.log"
X
cat >"$dir/etc/qemu.conf" <<X
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
X

# libvirtd has fixed folders: private mounts give this one its own, and the machine's real ones are not touched.
# shellcheck disable=SC2016 # expands in the inner shell
inside unshare --mount --propagation private bash -c '
  for pair in etc:/etc/libvirt var:/var/lib/libvirt run:/run/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
    mkdir -p "${pair#*:}"
    mount --bind "$1/${pair%%:*}" "${pair#*:}"
  done
  exec /usr/sbin/libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid' libvirtd "$dir" \
  </dev/null >"$dir/log/stdout" 2>&1 &
URI=$(libvirt_uri)
wait_for 60 "libvirtd" virsh -c "$URI" version
# sushy-tools keeps the images of virtual media in the pool of this name.
mkdir -p "$dir/pool"
virsh -q -c "$URI" pool-create-as default dir --target "$dir/pool" >/dev/null

for i in $(machines); do
  qemu-img create -q -f qcow2 -F raw -b "$BUILT/disk.img" "$dir/disks/node$i.qcow2"
  cat >"$dir/node$i.xml" <<X
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>node$i</name>
  <uuid>$(uuid_of "$i")</uuid>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <sysinfo type='smbios'>
    <system>
      <entry name='manufacturer'>Bringup Laboratory</entry>
      <entry name='product'>Virtual Node</entry>
      <entry name='serial'>$(serial_of "$i")</entry>
      <entry name='uuid'>$(uuid_of "$i")</entry>
    </system>
  </sysinfo>
  <sysinfo type='fwcfg'>
    <entry name='opt/org.tianocore/IPv6PXESupport'>n</entry>
  </sysinfo>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>$dir/disks/node$i.vars.fd</nvram>
    <boot dev='hd'/>
    <smbios mode='sysinfo'/>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='maximum'/>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='$dir/disks/node$i.qcow2'/>
      <target dev='vda' bus='virtio'/>
      <serial>DISK-$(serial_of "$i")</serial>
    </disk>
    <interface type='bridge'>
      <mac address='$(mac_of "$i")'/>
      <source bridge='br0'/>
      <target dev='tap-node$i'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='file'><source path='$dir/log/node$i.console' append='on'/><target port='0'/></serial>
    <memballoon model='none'/>
    <controller type='usb' model='none'/>
  </devices>
  <qemu:override>
    <qemu:device alias='rng0'><qemu:frontend><qemu:property name='aer' type='bool' value='true'/></qemu:frontend></qemu:device>
    <qemu:device alias='rng1'><qemu:frontend><qemu:property name='aer' type='bool' value='true'/></qemu:frontend></qemu:device>
  </qemu:override>
</domain>
X
  virsh -q -c "$URI" define "$dir/node$i.xml" >/dev/null
done
