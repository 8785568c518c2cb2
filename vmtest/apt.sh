# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# An apt with a state of its own, after lib.sh: packages of any Debian suite, fetched
# and verified from the mirror that this machine uses.  The machine's own configuration
# is read (for the mirror's address), never changed.

# apt_begin DIR HINT SUITE...: an empty state in DIR; the HINT is for whoever has no apt.
# Sets private_apt, the options that make apt-get and apt-cache use it.  apt_type=deb-src
# is for sources instead.
apt_begin() {
	local dir=$1 hint=$2 suite mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	shift 2

	command -v apt-get >/dev/null || die "apt-get is not here, so nothing can be fetched" "$hint"
	[ -r "$keyring" ] || die "$keyring is missing" "install the package debian-archive-keyring"

	# The mirror: where this machine gets Debian itself from.
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
		awk '$2 == "Debian" { print $1; exit }')
	[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep -m1 '/debian/\?$' || true)
	[ -n "$mirror" ] || die "no Debian mirror in the machine's apt sources" "$hint"

	# Nothing of an earlier, interrupted attempt is trusted.
	rm -rf "$dir"
	mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
	: >"$dir/state/status"
	: >"$dir/preferences"
	for suite; do
		echo "${apt_type:-deb} [signed-by=$keyring] $mirror $suite main"
	done >"$dir/sources.list"

	private_apt=(
		-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::Etc::preferences=$dir/preferences" -o Dir::Etc::preferencesparts=/dev/null
		-o "Dir::State=$dir/state" -o "Dir::State::status=$dir/state/status"
		-o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
		-o APT::Install-Recommends=false
	)
	apt-get "${private_apt[@]}" update >"$dir/log" 2>&1 || true
}
