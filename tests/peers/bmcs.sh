#!/bin/bash
# A BMC for every machine, at 10.77.2.I: sushy-tools' emulator speaks Redfish over TLS on 443 (a certificate of its own each, HTTP Basic), and
# virtualbmc speaks IPMI 2.0 on 623. Machine 1 also has plain HTTP on 80. Machine $LIAR's Redfish says 2xx to a boot override and keeps none.
set -euo pipefail
. "$(dirname "$0")/env.sh"
dir=$STATE/bmc
URI=$(libvirt_uri)
mkdir -p "$dir"
printf %s "$BMC_PASSWORD" |
  "$VENV/bin/python" -c 'import bcrypt, sys; print(sys.argv[1] + ":" + bcrypt.hashpw(sys.stdin.buffer.read(), bcrypt.gensalt(4)).decode())' "$BMC_USER" >"$dir/htpasswd"

redfish() { # redfish I PORT NAME: one emulator that shows machine I and no other
  local here=$dir/$3
  mkdir -p "$here/state"
  cat >"$here/conf.py" <<X
SUSHY_EMULATOR_LISTEN_IP = '$(bmc_ip "$1")'
SUSHY_EMULATOR_LISTEN_PORT = $2
SUSHY_EMULATOR_STATE_DIR = '$here/state'
SUSHY_EMULATOR_AUTH_FILE = '$dir/htpasswd'
SUSHY_EMULATOR_ALLOWED_INSTANCES = ['$(uuid_of "$1")']
SUSHY_EMULATOR_IGNORE_BOOT_DEVICE = $([ "$1" = "$LIAR" ] && echo True || echo False)
SUSHY_EMULATOR_BOOT_LOADER_MAP = {'UEFI': {'x86_64': '/usr/share/OVMF/OVMF_CODE_4M.fd'}, 'Legacy': {'x86_64': None}}
X
  if [ "$2" = 443 ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=bmc-node$1" \
      -addext "subjectAltName=IP:$(bmc_ip "$1")" -keyout "$here/key.pem" -out "$here/cert.pem" 2>/dev/null
    openssl x509 -in "$here/cert.pem" -outform DER | sha256sum | cut -c1-64 >"$here/cert.sha256"
    printf "SUSHY_EMULATOR_SSL_CERT = '%s'\nSUSHY_EMULATOR_SSL_KEY = '%s'\n" "$here/cert.pem" "$here/key.pem" >>"$here/conf.py"
  fi
  inside "$VENV/bin/sushy-emulator" --config "$here/conf.py" --libvirt-uri "$URI" </dev/null >"$here/log" 2>&1 &
}

for i in $(machines); do redfish "$i" 443 "node$i"; done
redfish 1 80 node1-plain

export VIRTUALBMC_CONFIG=$dir/vbmc.conf HOME=$dir
mkdir -p "$dir/vbmc"
cat >"$VIRTUALBMC_CONFIG" <<X
[default]
config_dir=$dir/vbmc
pid_file=$dir/vbmc.pid
server_port=50891
[log]
logfile=$dir/vbmc.log
debug=true
X
inside "$VENV/bin/vbmcd" --foreground </dev/null >"$dir/vbmc.out" 2>&1 &
vbmc() { inside "$VENV/bin/vbmc" --no-daemon "$@"; }
wait_for 60 "virtualbmc" vbmc list
for i in $(machines); do
  vbmc add "node$i" --port 623 --address "$(bmc_ip "$i")" --username "$BMC_USER" --password "$BMC_PASSWORD" --libvirt-uri "$URI" >>"$dir/vbmc.out" 2>&1
  vbmc start "node$i" >>"$dir/vbmc.out" 2>&1
done

for i in $(machines); do
  wait_for 60 "Redfish of node$i" inside curl -sf -o /dev/null --cacert "$dir/node$i/cert.pem" "https://$(bmc_ip "$i")/redfish/v1/"
  # Cipher suite 3 is all that virtualbmc speaks.
  wait_for 60 "IPMI of node$i" inside ipmitool -I lanplus -C 3 -N 1 -R 2 -H "$(bmc_ip "$i")" -U "$BMC_USER" -P "$BMC_PASSWORD" chassis power status
done
wait_for 60 "plain Redfish of node1" inside curl -sf -o /dev/null "http://$(bmc_ip 1)/redfish/v1/"
