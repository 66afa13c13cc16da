#!/bin/sh
# Installs what the tests need beside Python, where this user may; says which tests do not run otherwise.
# With arguments it installs these packages instead. With CI=true nothing may be missing.
set -eu

if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif sudo -n true 2>/dev/null; then
	as_root='sudo -n'
else
	as_root=no
fi

has() {
	PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

is_there() {
	case $1 in
	chromium) has chromium || has chromium-browser || has google-chrome ;;
	openssh-server) has sshd ;;
	openssh-client) has ssh-keygen ;;
	postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
	util-linux) has setsid && has flock ;;
	iproute2) has ip ;;
	*) has "$1" ;;
	esac
}

what_it_is_for() {
	case $1 in
	chromium) echo 'the browser tests' ;;
	openssh-server | openssh-client) echo 'the tests against a real SSH server' ;;
	postgresql) echo 'the unit tests on a stock PostgreSQL' ;;
	iproute2) echo 'the tests that drop packets' ;;
	*) echo "the tests of the shell scripts" ;;
	esac
}

missing() {
	for package in "$@"; do
		is_there "$package" || printf '%s ' "$package"
	done
}

# Freshly installed servers are not started: the tests start their own.
install() {
	$as_root apt-get -qq update
	guard=/usr/sbin/policy-rc.d
	if [ ! -e "$guard" ]; then
		printf '#!/bin/sh\nexit 101\n' | $as_root tee "$guard" >/dev/null
		$as_root chmod 755 "$guard"
		trap '$as_root rm -f "$guard"' EXIT
	fi
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 \
		install --yes --no-install-recommends "$@" >/dev/null
}

may_install() {
	[ "$as_root" != no ] && has apt-get
}

if [ $# -gt 0 ]; then
	may_install || { echo "Install these packages first: $*" >&2; exit 1; }
	install "$@"
	exit
fi

wanted='openssh-server openssh-client chromium dash curl util-linux iproute2'
[ "${CI:-}" = true ] && wanted="$wanted postgresql"

# shellcheck disable=SC2086 # lists of package names
absent=$(missing $wanted)
if [ -n "$absent" ] && may_install; then
	echo "Installing for the tests: $absent"
	# shellcheck disable=SC2086
	install $absent || echo 'The package manager failed.' >&2
	# shellcheck disable=SC2086
	absent=$(missing $wanted)
fi
for package in $absent; do
	echo "$package is not installed: $(what_it_is_for "$package") do not run." >&2
done
if [ -n "$absent" ] && [ "${CI:-}" = true ]; then
	exit 1
fi
