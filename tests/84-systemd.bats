#!/usr/bin/env bats
# The units in contrib/systemd: systemd understands them, they leave little open, and what they leave is
# enough. Nothing is started: they are read by systemd-analyze, where that is installed.

load helper

UNITS=$ROOT/contrib/systemd/system

needs_analyze() {
	command -v systemd-analyze >/dev/null || skip 'no systemd-analyze here'
	systemd-analyze security --help | grep -q -- --offline || skip 'this systemd-analyze needs a running systemd'
}

# The units, with a program that is there; in the folder units.
copy_units() {
	mkdir -p units
	cp "$UNITS"/* units
	sed -i "s|/usr/local/bin/pophaul|$BUILD/pophaul|" units/*.service
}

@test "systemd has nothing to say against the units" {
	command -v systemd-analyze >/dev/null || skip 'no systemd-analyze here'
	copy_units
	mv 'units/pophaul@.service' 'units/pophaul@jane.service'
	mv 'units/pophaul@.timer' 'units/pophaul@jane.timer'
	for unit in pophaul.service pophaul-dynamic.service pophaul@jane.service pophaul.timer pophaul@jane.timer; do
		run systemd-analyze verify --man=no "units/$unit"
		refute_output_has "$unit:"
		refute_output_has Unknown
		refute_output_has 'Failed to parse'
	done
}

@test "units that are never root leave less open than 2.0 of systemd's 10, that of root's changing users less than 3.0" {
	needs_analyze
	copy_units
	for unit in pophaul-dynamic.service pophaul@.service; do
		run systemd-analyze security --no-pager --offline=true --threshold=19 "units/$unit"
		assert_status 0
	done
	run systemd-analyze security --no-pager --offline=true --threshold=29 units/pophaul.service
	assert_status 0
	# That the tool can say no at all.
	run systemd-analyze security --no-pager --offline=true --threshold=5 units/pophaul.service
	[ "$status" -ne 0 ]
}

@test "what the cage is made of is among the system calls of every unit" {
	needs_analyze
	local call unit sets denied

	for unit in "$UNITS"/*.service "$UNITS"/../pophaul.service; do
		sets=$(sed -n 's/^SystemCallFilter=\([^~]\)/\1/p' "$unit")
		denied=$(sed -n 's/^SystemCallFilter=~//p' "$unit")
		for call in seccomp landlock_create_ruleset landlock_restrict_self landlock_add_rule prctl clone3 fchdir socket \
			$([[ $unit != */system/pophaul.service ]] || echo setresuid setresgid setgroups capset chroot pidfd_send_signal fchown); do
			# shellcheck disable=SC2086 # lists of words
			allows $call $sets || fail "$unit lacks $call"
			# shellcheck disable=SC2086 # lists of words
			! allows $call $denied || [[ " $sets " == *" $call "* ]] || fail "$unit denies $call"
		done
	done
}

# allows CALL NAME…: whether it is one of them, or in a set that is.
allows() {
	local call=$1 name

	shift
	for name in "$@"; do
		[[ $name != "$call" ]] || return 0
		[[ $name == @* ]] || continue
		# shellcheck disable=SC2046 # a list of words
		! allows "$call" $(systemd-analyze syscall-filter "$name" | sed -n '2,$s/^ *\([^#]*\)$/\1/p') || return 0
	done
	return 1
}

@test "with the capabilities that root's unit has, users' mail, state and secrets are all that they are with more" {
	[ "$(id -u)" -eq 0 ] || skip 'only root has capabilities to give up'
	local caps folder

	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$UNITS/pophaul.service" | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
	folder=$(mktemp -d /tmp/pophaul-systemd.XXXXXX)
	SERVER_DIRS+=("$folder")
	chmod 711 "$folder"
	mkdir -m 700 "$folder/mail" "$folder/games"
	STATE=$folder/state
	serve 'message "Subject: a\n\na\n"' 'message "Subject: b\n\nb\n"'
	for user in mail games; do
		echo secret >"$folder/$user/secret"
		chmod 600 "$folder/$user/secret"
		chown -R "$user:" "$folder/$user"
		use "run-as = \"$user\"" "deliver = \"maildir:$folder/$user/Maildir\"" 'password =' "password-file = \"$folder/$user/secret\""
		run --separate-stderr setpriv --no-new-privs --bounding-set "-all,$caps" timeout -k 5 60 "$POPHAUL" -v
		assert_status 0
		[ "$user" = games ] || assert_stderr_has 'the root of the file system is an empty folder'
	done
	assert_equal "$(count_files "$folder"/*/Maildir/new)" 2
	assert_equal "$(stat -c %U "$STATE/games/home.uidl")" games
}
