#!/bin/bash
# Install the real peers that the tests run against: Dovecot, Postfix, mbsync, msmtp, curl and
# Python from Debian's packages, three Delta Chat engines from npm. As root on Debian 12; nothing
# is started. Safe to run again; says nothing where all is there.
#
#   install.sh DIRECTORY     each engine goes to DIRECTORY/deltachat-VERSION/
set -eu -o pipefail

ENGINE=@deltachat/stdio-rpc-server-linux-x64
# The present engine, an older one whose links carry no v=3, and one from before version 2. With
# npm's own checksum of each package; another file under its version is refused.
ENGINES="
2.62.0 sha512-ewuZJQlaIuSQrosOeQCISCdVYioyNPEx6daJWH3f7yJqTBiKkwLO+/YE7i3p2VQ8yw8uw542Kw50NWk24aZWTw==
2.33.0 sha512-6btNwX8G7/m7mpr6DGO7CyYOYmSe9UMY0yFEYeZCtPK32GWQcn4f32WOWlx7eovQ39LUkCBgDSXQFzKmexq+dA==
1.160.0 sha512-GLgB3Zesu19lGlJUV1uELTWhjx1EWOOnRe2C43qlH1CtzGMsPTc4vJh9zsoDdFak8lPauEDzCrFzXYJsc1Jkig==
"
PACKAGES="dovecot-imapd dovecot-lmtpd postfix openssl ca-certificates procps python3 isync msmtp curl"

dir=${1:?usage: install.sh DIRECTORY}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

fail() { echo "install.sh: $*" >&2; exit 1; }

have_engines() {
  local version integrity
  while read -r version integrity; do
    [ -z "$version" ] || [ -x "$dir/deltachat-$version/deltachat-rpc-server" ] || return 1
  done <<<"$ENGINES"
}

install_packages() {
  local want=$PACKAGES missing= p policy=/usr/sbin/policy-rc.d made=
  have_engines || command -v npm >/dev/null || want="$want nodejs npm"
  for p in $want; do
    dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
  done
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || fail "missing packages, and only root can install them:$missing"
  echo "installing:$missing"
  # Debian's maintainer scripts would start the daemons system-wide: forbid it meanwhile.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; made=1
  fi
  local status=0
  {
    # An image's package lists name packages that are gone.
    apt-get update -q &&
    # Without an answer Debian's postfix writes a system-wide configuration.
    { ! command -v debconf-set-selections >/dev/null || echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; } &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
  } >"$dir/apt.log" 2>&1 </dev/null || status=$?
  [ -z "$made" ] || rm -f "$policy"
  [ "$status" = 0 ] || { tail -20 "$dir/apt.log" >&2; fail "apt-get failed; all of it is in $dir/apt.log"; }
}

install_engine() {
  local version=$1 integrity=$2 to="$dir/deltachat-$1" tmp sum
  [ -x "$to/deltachat-rpc-server" ] && return 0
  echo "fetching $ENGINE@$version"
  tmp=$(mktemp -d)
  (cd "$tmp" && npm pack --loglevel=error "$ENGINE@$version" >/dev/null) || { rm -rf "$tmp"; fail "npm cannot fetch $ENGINE@$version"; }
  sum="sha512-$(openssl dgst -sha512 -binary "$tmp"/*.tgz | openssl base64 -A)"
  [ "$sum" = "$integrity" ] || { rm -rf "$tmp"; fail "the checksum of engine $version is $sum, not $integrity"; }
  tar xzf "$tmp"/*.tgz -C "$tmp"
  chmod 755 "$tmp/package/deltachat-rpc-server"
  "$tmp/package/deltachat-rpc-server" --version >/dev/null 2>&1 || { rm -rf "$tmp"; fail "engine $version does not start on this machine"; }
  # Several runs may install at once: the last step is one rename.
  mkdir -p "$to"
  mv "$tmp/package/deltachat-rpc-server" "$to/.new.$$" && mv "$to/.new.$$" "$to/deltachat-rpc-server"
  rm -rf "$tmp"
}

install_engines() {
  local version integrity
  while read -r version integrity; do
    # Not npm's input: it would eat the list.
    [ -z "$version" ] || install_engine "$version" "$integrity" </dev/null
  done <<<"$ENGINES"
}

# Two runs at once (tests of several packages) wait for each other.
exec 9>"$dir/lock"
flock 9
install_packages
install_engines
