#!/bin/sh
# Fetches the identity of this boot, once: the SSH host key that the boot server made for it, and the keys that may log in.
#   bringup.identity=https://ADDRESS:PORT/g/TOKEN/identity     where it is
#   bringup.identity.sha256=HEX                                SHA-256 of the certificate (DER) that the server there must show
# Nothing else is trusted: no authority, no name, no clock. Ends with 0 when the identity is in /run/bringup/identity, for OpenSSH
# (ssh_host_ed25519_key, authorized_keys), and where dropbear looks for it; else it says why on standard output. May be called again: whoever comes
# second waits for the first.
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
umask 077
place=/run/bringup/identity
argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -n 1; }
if ! mkdir "$place" 2>/dev/null; then
  until [ -e "$place/whole" ] || [ -e "$place/refused" ]; do usleep 100000; done
  [ -e "$place/whole" ] && exit 0
  cat "$place/refused"
  exit 1
fi
# Renamed into place: whoever waits reads all of it.
refuse() {
  rm -f "$place/answer"
  echo "$*" | tr -cd ' -~' | cut -c1-300 >"$place/why"
  mv "$place/why" "$place/refused"
  cat "$place/refused"
  exit 1
}

url=$(argument bringup.identity)
pin=$(argument bringup.identity.sha256)
case $url in https://*/*) ;; *) refuse "the command line names no identity" ;; esac
[ ${#pin} = 64 ] || refuse "the command line names no certificate to trust"
[ -x /usr/bin/openssl ] || refuse "the image has no /usr/bin/openssl to fetch its identity with"
rest=${url#https://}
at=${rest%%/*}
path=/${rest#*/}

until [ -e /run/bringup/address ]; do usleep 100000; done

# Who asks. Every byte as %xx, so that no serial can be anything but a value.
coded() { printf %s "$1" | od -An -v -tx1 | tr -d '\n' | sed 's/ /%/g'; }
fact() { tr -d '\n' <"/sys/class/dmi/id/$1" 2>/dev/null; }
query="mac=$(argument BOOTIF | sed 's/^01-//')&uuid=$(coded "$(fact product_uuid)")&serial=$(coded "$(fact product_serial)")"

client() { timeout 30 openssl s_client -connect "$at" "$@" 2>"$place/said"; }

# What does the server show? Nothing is asked of it yet. The way there may take as long as a switch port takes to forward.
tries=0
until client </dev/null | openssl x509 >"$place/certificate" 2>/dev/null && [ -s "$place/certificate" ]; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] || refuse "no TLS server at $at: $(grep -v '^Connecting' "$place/said" | head -n 1)"
  sleep 1
done
shown=$(openssl x509 -in "$place/certificate" -outform DER 2>/dev/null | sha256sum | cut -d' ' -f1)
[ "$shown" = "$pin" ] || refuse "the server at $at shows another certificate than the boot's: $shown"

# Asked inside one handshake that takes this certificate and no other, so that it does not matter who answered before. Not tried again: an
# identity is handed out once, and asking twice looks like a thief.
printf 'GET %s?%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$query" "$at" |
  client -quiet -CAfile "$place/certificate" -no-CApath -no-CAstore -partial_chain -no_check_time -verify_return_error |
  tr -d '\r' >"$place/answer"
[ -s "$place/answer" ] || refuse "the server at $at gave no answer: $(tail -n 1 "$place/said")"
status=$(head -n 1 "$place/answer" | cut -d' ' -f2)
[ "$status" = 200 ] || refuse "the boot server refused it: $status $(tail -n 1 "$place/answer")"
grep -qx bringup-identity/v1 "$place/answer" || refuse "the boot server sent no identity"
[ "$(tail -n 1 "$place/answer")" = end ] || refuse "the identity was cut short"
field() { sed -n "s/^$1 //p" "$place/answer" | base64 -d; }
field openssh_host_key >"$place/ssh_host_ed25519_key"
field authorized_keys >"$place/authorized_keys"
mkdir -p /etc/bringup /root/.ssh
field dropbear_host_key >/etc/bringup/host_key
cp "$place/authorized_keys" /root/.ssh/authorized_keys
rm -f "$place/answer"
touch "$place/whole"
