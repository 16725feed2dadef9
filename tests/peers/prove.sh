#!/bin/bash
# Proves the laboratory itself with other people's clients only (curl, ipmitool, OpenSSH) and a plain HTTP server in the place of `bringup`:
# each line says OK or FAIL, and the last one how many. Nothing of `bringup` runs here.
set -euo pipefail
. "$(dirname "$0")/env.sh"
export NS=${PROVE_NS:-bringup-prove}
STATE=$CACHE/state-$NS
export STATE
failed=0

stop() {
  NS=$NS STATE=$STATE "$HERE/lab.sh" down
}
trap stop EXIT
began=$(date +%s)
"$HERE/lab.sh" up >/dev/null
echo "OK laboratory up: $MACHINES machines, $(($(date +%s) - began)) s"

www=$STATE/www
mkdir -p "$www"
ln -s "$BUILT/vmlinuz" "$BUILT/initrd.gz" "$www/"
cat >"$www/boot.ipxe" <<'X'
#!ipxe
kernel vmlinuz initrd=initrd.gz console=ttyS0 BOOTIF=01-${net0/mac:hexhyp} bringup.plan=prove
initrd initrd.gz
boot
X
inside python3 -m http.server --bind "$GATEWAY" --directory "$www" "$BOOT_PORT" >"$STATE/http.log" 2>&1 &
wait_for 20 "the stand-in boot server" inside curl -sf -o /dev/null "http://$GATEWAY:$BOOT_PORT/boot.ipxe"

on_node() { # on_node I COMMAND…: by OpenSSH, the host key pinned
  local i=$1
  shift
  echo "$(node_ip "$i") $(cat "$BUILT/host_key.pub")" >"$STATE/known_hosts"
  inside ssh -i "$BUILT/id_ed25519" -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$STATE/known_hosts" \
    -o LogLevel=ERROR "root@$(node_ip "$i")" "$@"
}
redfish() { # redfish I METHOD PATH [BODY]
  local i=$1 method=$2 path=$3
  shift 3
  inside curl -sSf --cacert "$STATE/bmc/node$i/cert.pem" -u "$BMC_USER:$BMC_PASSWORD" -X "$method" -H 'Content-Type: application/json' \
    ${1:+-d "$1"} "https://$(bmc_ip "$i")/redfish/v1/Systems/$(uuid_of "$i")$path"
}
ipmi() {
  local i=$1
  shift
  inside ipmitool -I lanplus -C 3 -H "$(bmc_ip "$i")" -U "$BMC_USER" -P "$BMC_PASSWORD" "$@"
}

check() { # check I WHAT EXPECTED: waits for SSH, then the serial and the command line must be as expected
  local i=$1 what=$2 expected=$3 t0 seen serial
  t0=$(date +%s%N)
  if ! wait_for 300 "SSH on node$i" on_node "$i" true; then
    echo "FAIL $what: no SSH"
    failed=$((failed + 1))
    return
  fi
  seen=$(on_node "$i" cat /proc/cmdline)
  serial=$(on_node "$i" cat /sys/class/dmi/id/product_serial)
  if [[ $seen == *"$expected"* && $serial == "$(serial_of "$i")" && $("$HERE/lab.sh" starts "$i") == 1 ]]; then
    echo "OK $what: SSH after $((($(date +%s%N) - t0) / 1000000000)) s, serial $serial, cmdline: $seen"
  else
    echo "FAIL $what: expected $expected, serial $serial, cmdline: $seen"
    failed=$((failed + 1))
  fi
  "$HERE/lab.sh" power "$i" off
}

redfish 1 PATCH '' '{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}'
redfish 1 POST /Actions/ComputerSystem.Reset '{"ResetType":"On"}'
check 1 "Redfish, override Pxe" bringup.plan=prove

ipmi 2 chassis bootdev pxe options=efiboot >/dev/null
ipmi 2 chassis power on >/dev/null
check 2 "IPMI, bootdev pxe" bringup.plan=prove

redfish 3 POST /Actions/ComputerSystem.Reset '{"ResetType":"On"}'
check 3 "no override" bringup-lab.from=disk

redfish "$LIAR" PATCH '' '{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}'
redfish "$LIAR" POST /Actions/ComputerSystem.Reset '{"ResetType":"On"}'
check "$LIAR" "override answered with 2xx and lost" bringup-lab.from=disk

redfish "$ASTRAY" PATCH '' '{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}'
redfish "$ASTRAY" POST /Actions/ComputerSystem.Reset '{"ResetType":"On"}'
check "$ASTRAY" "override kept, the site's DHCP leads elsewhere" bringup-lab.from=elsewhere

redfish "$DUD" PATCH '' '{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}'
redfish "$DUD" POST /Actions/ComputerSystem.Reset '{"ResetType":"On"}'
check "$DUD" "override kept, network boot fails" bringup-lab.from=disk

echo "prove: $failed failed, $(($(date +%s) - began)) s"
exit $((failed > 0))
