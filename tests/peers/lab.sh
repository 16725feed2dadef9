#!/bin/bash
# The real-peer laboratory: network, machines and BMCs, all written by other people, in one network namespace.
#   lab.sh up        starts it;  lab.sh down  stops every process of the namespace and removes it
#   lab.sh hold      starts it, prints `ready`, and stops it when standard input ends: a test that dies takes the laboratory with it
#   lab.sh facts     one line a machine: name mac uuid serial address bmc_address bmc_cert_sha256
#   lab.sh starts I  how often machine I was powered on;  lab.sh kernels I  one line for each kernel that started on it
#   lab.sh device I  where machine I goes at its next power-on: hd or network
#   lab.sh power I on|off  the same as a finger on the button, behind the BMC's back
set -euo pipefail
. "$(dirname "$0")/env.sh"

down() {
  local pid _
  if [ -e "/run/netns/$NS" ]; then
    # Only processes that live in our own namespace, by process id.
    for pid in $(ip netns pids "$NS"); do kill "$pid" 2>/dev/null || true; done
    for _ in $(seq 50); do
      [ -z "$(ip netns pids "$NS")" ] && break
      sleep 0.1
    done
    for pid in $(ip netns pids "$NS"); do kill -KILL "$pid" 2>/dev/null || true; done
    ip netns delete "$NS"
  fi
  [ -n "${KEEP:-}" ] || rm -rf "$STATE"
}

up() {
  local program
  for program in ip dnsmasq virsh qemu-system-x86_64 openssl curl ipmitool; do
    command -v "$program" >/dev/null || { echo "lab: the program $program is missing" >&2; exit 3; }
  done
  [ -x "$VENV/bin/sushy-emulator" ] || { echo "lab: sushy-tools is missing in $VENV" >&2; exit 3; }
  [ -s "$BUILT/disk.img" ] || { echo "lab: the boot image is missing in $BUILT" >&2; exit 3; }
  down
  mkdir -p "$STATE"
  "$HERE/net.sh"
  "$HERE/machines.sh"
  "$HERE/bmcs.sh"
}

case ${1:-} in
up)
  up
  echo ready
  ;;
down) down ;;
hold)
  trap down EXIT
  trap '' INT TERM HUP
  up
  echo ready
  cat >/dev/null
  ;;
facts)
  for i in $(machines); do
    echo "node$i $(mac_of "$i") $(uuid_of "$i") $(serial_of "$i") $(node_ip "$i") $(bmc_ip "$i") $(cat "$STATE/bmc/node$i/cert.sha256")"
  done
  ;;
starts) grep -c 'starting up libvirt version' "$STATE/libvirt/log/qemu/node$2.log" 2>/dev/null || true ;;
kernels) grep -a 'bringup-lab: kernel ' "$STATE/libvirt/log/node$2.console" 2>/dev/null || true ;;
# virtualbmc keeps the device in <os>; sushy-tools takes that out and numbers the devices themselves.
device) virsh -q -c "$(libvirt_uri)" dumpxml --inactive "node$2" | python3 -c '
import sys, xml.etree.ElementTree as tree
domain = tree.fromstring(sys.stdin.read())
numbered = [(int(boot.get("order")), part) for part in domain.find("devices") for boot in part.findall("boot")]
words = {"disk": "hd", "cdrom": "cdrom", None: "network"}
if numbered:
    print(words[min(numbered, key=lambda pair: pair[0])[1].get("device")])
elif domain.find("os/boot") is not None:
    print(domain.find("os/boot").get("dev"))
' ;;
power)
  case $3 in
  on) virsh -q -c "$(libvirt_uri)" start "node$2" ;;
  off) virsh -q -c "$(libvirt_uri)" destroy "node$2" ;;
  *) exit 64 ;;
  esac
  ;;
*)
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 64
  ;;
esac
