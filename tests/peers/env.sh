# Where the real-peer laboratory keeps its things, and who its machines are. Sourced by the scripts beside it; does nothing by itself.
# shellcheck shell=bash disable=SC2034

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${BRINGUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bringup-tests}
VENV=${BRINGUP_VENV:-$CACHE/venv} # Python peers
BUILT=${BRINGUP_LAB:-$CACHE/lab}  # kernel, initrd, disk, keys: made once, only read by a running lab
LOADERS=$CACHE/loaders            # iPXE for 64-bit Arm, which Debian 12 does not have
NS=${NS:-bringup-lab}             # network namespace of one running lab
STATE=${STATE:-$CACHE/state-$NS}  # what one running lab writes: logs, sockets, certificates, disks

GATEWAY=10.77.0.1 # the controller's address inside the namespace; `bringup serve` and `apply` listen at $GATEWAY:8088
BOOT_PORT=8088
BMC_USER=admin
BMC_PASSWORD=lab-password

# Machine I is nodeI. Every machine has a Redfish service and an IPMI service of its own at 10.77.2.I.
MACHINES=${MACHINES:-6}
LIAR=${LIAR:-4}     # its Redfish service answers 2xx to a boot override and does not keep it
ASTRAY=${ASTRAY:-5} # the site's DHCP sends it elsewhere: it netboots the same system from somebody else's script
DUD=${DUD:-6}       # every network boot fails at once, and its firmware falls through to the disk

DHCP=${DHCP:-dnsmasq} # none: nobody answers DHCP in the namespace

mac_of() { printf '52:54:77:00:00:%02x' "$1"; }
uuid_of() { printf '4c4c4544-0077-4000-8000-%012x' "$1"; }
serial_of() { printf 'BRLAB%04d' "$1"; }
node_ip() { printf '10.77.0.%d' $((10 + $1)); }
bmc_ip() { printf '10.77.2.%d' "$1"; }
machines() { seq 1 "$MACHINES"; }

inside() { ip netns exec "$NS" "$@"; }
libvirt_uri() { printf 'qemu+unix:///system?socket=%s/libvirt/run/libvirt-sock' "$STATE"; }

# wait_for SECONDS WHAT COMMAND…: asks ten times a second until it is so; says what it waited for when it never was.
wait_for() {
  local left=$(($1 * 10)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((left-- <= 0)); then
      echo "lab: waited in vain for $what" >&2
      return 1
    fi
    sleep 0.1
  done
}
