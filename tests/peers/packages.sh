#!/bin/bash
# Installs the Debian packages that the tests need; quick when they are there. Changes nothing in /etc/apt: the backports suite, which QEMU and
# libvirt come from, is added in a private copy of the source lists under the cache folder.
#
# Why backports: images that carry qemu-utils 10 from there cannot take QEMU 7.2 from bookworm (qemu-utils Breaks it), and those that carry none
# can take either.
set -euo pipefail
. "$(dirname "$0")/env.sh"

FROM_BACKPORTS=(qemu-system-x86 qemu-system-arm qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
FROM_STABLE=(python3 python3-venv python3-libvirt ovmf qemu-efi-aarch64 ipxe dnsmasq-base isc-dhcp-client busybox-static dropbear-bin kmod cpio mtools
  mmdebstrap squashfs-tools xorriso grub-common grub-efi-amd64-bin iproute2 curl openssl openssh-client openssh-server
  aria2 tcpdump tftp-hpa lldpd patch ipmitool freeipmi-tools openipmi xz-utils procps git gcc libc6-dev libssl-dev pkg-config)

missing() { # prints those of its arguments that are not installed
  local p
  for p in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
  done
}

mapfile -t want_backports < <(missing "${FROM_BACKPORTS[@]}")
mapfile -t want_stable < <(missing "${FROM_STABLE[@]}")

PARTS=$CACHE/apt/sources.list.d
APT=(-o "Dir::Etc::sourceparts=$PARTS" -o "Dir::State::Lists=$CACHE/apt/lists" -o "Dir::Cache=$CACHE/apt/cache"
  -o "Dir::Etc::preferencesparts=$CACHE/apt/preferences.d" -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o APT::Sandbox::User=root)
export DEBIAN_FRONTEND=noninteractive

sources() { # the machine's own sources, by links, and the backports suite of the same mirror
  local suite mirror list suites
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ "$suite" = bookworm ] || { echo "packages: made for Debian 12 (bookworm); this is ${suite:-unknown}" >&2; exit 3; }
  rm -rf "$PARTS"
  mkdir -p "$PARTS" "$CACHE/apt/preferences.d" "$CACHE/apt/lists/partial" "$CACHE/apt/cache/archives/partial"
  for list in /etc/apt/sources.list.d/*; do [ -e "$list" ] && ln -s "$list" "$PARTS/"; done
  # Only these sources come from backports; with `-t` apt would raise systemd and libcurl too.
  printf 'Package: src:qemu:any src:libvirt:any src:seabios:any\nPin: release n=bookworm-backports\nPin-Priority: 990\n' \
    >"$CACHE/apt/preferences.d/backports"
  # What apt can tell about its sources it tells only once their lists have been read.
  apt-get "${APT[@]}" -qq update
  suites=$(apt-get "${APT[@]}" indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages')
  if ! grep -q '^bookworm-backports ' <<<"$suites"; then
    mirror=$(awk '$1 == "bookworm" { print $2; exit }' <<<"$suites")
    [ -n "$mirror" ] || { echo "packages: apt has no source for bookworm" >&2; exit 3; }
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" >"$PARTS/backports.list"
    apt-get "${APT[@]}" -qq update
  fi
}

case ${1:-install} in
list) printf '%s\n' "${FROM_BACKPORTS[@]}" "${FROM_STABLE[@]}" ;;
missing) printf '%s\n' "${want_backports[@]}" "${want_stable[@]}" | sed '/^$/d' ;;
install)
  if ((${#want_backports[@]} + ${#want_stable[@]} == 0)); then
    echo "packages: all present"
    exit 0
  fi
  echo "packages: installing ${want_backports[*]} ${want_stable[*]}"
  sources
  apt-get "${APT[@]}" -qq install -y --no-install-recommends "${want_backports[@]}" "${want_stable[@]}" >/dev/null
  ;;
fetch) # fetch PACKAGE DIR: downloads the .deb of a package, or of what a metapackage stands for, without installing it
  name=$2
  [ -d "$PARTS" ] || sources
  mkdir -p "$3"
  download() {
    local real
    real=$(apt-cache "${APT[@]}" depends "$name" | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
    (cd "$3" && apt-get "${APT[@]}" -qq download "${real:-$name}")
  }
  # The lists may be older than the mirror, which keeps only the newest kernels: then they are read again.
  download "$@" || { sources && download "$@"; }
  ;;
arm-loader) # arm-loader DIR: Debian 13's iPXE for 64-bit Arm as DIR/snponly-arm64.efi; Debian 12's package has none
  if [ -s "$2/snponly-arm64.efi" ]; then
    echo "packages: the loader for Arm is present"
    exit 0
  fi
  [ -d "$PARTS" ] || sources
  mirror=$(apt-get "${APT[@]}" indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
  # Sources and lists of its own: nothing else may come from there.
  NEWER=("${APT[@]}" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$CACHE/apt/trixie.d" -o "Dir::State::Lists=$CACHE/apt/trixie"
    -o Acquire::Languages=none)
  mkdir -p "$CACHE/apt/trixie.d" "$CACHE/apt/trixie/partial" "$2"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$CACHE/apt/trixie.d/trixie.list"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  apt-get "${NEWER[@]}" -qq update
  (cd "$work" && apt-get "${NEWER[@]}" -qq download ipxe)
  dpkg-deb --fsys-tarfile "$work"/ipxe_*.deb | tar -xO ./usr/lib/ipxe/ipxe-arm64.efi >"$work/loader"
  mv "$work/loader" "$2/snponly-arm64.efi"
  rm -rf "$CACHE/apt/trixie"
  echo "packages: the loader for Arm of $(cd "$work" && echo ipxe_*.deb)"
  ;;
*)
  echo "usage: $0 [install|missing|list|fetch PACKAGE DIR|arm-loader DIR]" >&2
  exit 64
  ;;
esac
