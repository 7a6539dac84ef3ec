#!/usr/bin/env bats
# Where passwords are while the program runs: in the memory of which process, whole or in pieces, as they
# are or in base64. Only root may look into these processes, which is what keeps others out.

load helper

setup() {
	default_setup
	[ "$(id -u)" -eq 0 ] || skip "only root may look into the memory of these processes"
	# Its shadow of the memory is terabytes long, and it keeps what was freed.
	! grep -qa __asan_init "$BUILD/pophaul" || skip 'built with AddressSanitizer'
	SECRETS=$BATS_TEST_TMPDIR/secrets
	: >"$SECRETS"
}

# A password of 48 letters that nothing else has, for the user of this name: PASSWORD, and in the list to be searched for.
make_password() {
	PASSWORD=$(head -c 36 /dev/urandom | base64 | tr +/ xy)
	echo "$1 $PASSWORD" >>"$SECRETS"
}

# A run of the program beside the test, which logs all it does; POLLER is its process.
begin() {
	timeout -k 5 60 "$POPHAUL" -vv >"$BATS_TEST_TMPDIR/output" 2>&1 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
	wait_until 10 has_children "$RUN"
	POLLER=$(children_of "$RUN")
}

# await_end STATUS: the run ends, and its log has told no secret.
await_end() {
	local status=0

	wait "$RUN" || status=$?
	[ "$status" -eq "$1" ] || fail "status is $status" "$(cat "$BATS_TEST_TMPDIR/output")"
	grep -q '> QUIT\|> \(PASS\|AUTH\|APOP\|\*\*\)' "$BATS_TEST_TMPDIR/output"
	assert_remembers "$BATS_TEST_TMPDIR/output" log
}

children_of() {
	tr ' ' '\n' <"/proc/$1/task/$1/children" | sed '/^$/d'
}

has_children() {
	[ -n "$(children_of "$1")" ]
}

# remembers PID|FILE: the names of those whose password, or a piece of it, is in the memory of a process.
remembers() {
	local found status=0

	found=$("$TESTS/memory-search" "$1" <"$SECRETS" 2>"$BATS_TEST_TMPDIR/found") || status=$?
	case $status in
	0) ;;
	77) skip "only root may look into the memory of these processes" ;;
	*) fail "memory-search: $(cat "$BATS_TEST_TMPDIR/found")" ;;
	esac
	paste -sd ' ' <<<"$found"
}

# assert_remembers PID|FILE WHAT NAME…: these and no others.
assert_remembers() {
	local pid=$1 what=$2 found

	shift 2
	found=$(remembers "$pid")
	[ "$found" = "$*" ] || fail "the $what has the passwords of: $found" "and not: $*" "$(cat "$BATS_TEST_TMPDIR/found")"
}

has_sessions() {
	[ "$(count_sessions)" -eq "$1" ]
}

# An account for each kind of source, of a user of the source's name; all sessions may run at once.
write_sources() {
	local name source

	{
		for name in inline other file command netrc credential; do
			make_password "$name"
			source=
			case $name in
			file)
				echo "$PASSWORD" >file
				source="password-file = \"$HOME/file\""
				;;
			command)
				printf '#!/bin/sh\necho %s\n' "$PASSWORD" >"$HOME/command"
				source="password-command = \"$HOME/command\""
				;;
			credential)
				mkdir -m 700 credentials
				echo "$PASSWORD" >credentials/mine
				source='credential = "mine"'
				;;
			netrc) echo "machine $HOST login netrc password $PASSWORD" >.netrc ;;
			*) source="password = \"$PASSWORD\"" ;;
			esac
			account "$name" 'password =' "user = \"$name\"" "deliver = \"maildir:$HOME/mail-$name\"" "$source"
		done
		echo 'per-host = 8'
	} | write_config
	chmod 600 file .netrc credentials/mine
	export CREDENTIALS_DIRECTORY=$HOME/credentials
	chmod 700 command
}

@test "the search finds a password, its end alone, and base64 of it in each of the ways it falls" {
	local before

	make_password jane
	printf '%s' "${PASSWORD:24}" >piece
	assert_remembers piece piece jane
	for before in '' x xy '\0jane\0'; do
		printf "$before%s" "$PASSWORD" | base64 -w 0 >encoded
		assert_remembers encoded 'base64' jane
		printf '%s' "${PASSWORD:0:9} ${PASSWORD:30:9}" >none
		assert_remembers none chance
	done
}

@test "a fetcher knows its own password when it meets the server, the deliverer none, the poller none" {
	local deliverer fetcher name seen=

	start_fakepop --tls -e any-user -e "await $HOME/go" -e 'send +OK ready'
	write_sources
	begin
	wait_until 10 has_sessions 6
	assert_remembers "$POLLER" poller
	for deliverer in $(children_of "$POLLER"); do
		assert_remembers "$deliverer" deliverer
		for fetcher in $(children_of "$deliverer"); do
			name=$(remembers "$fetcher")
			[[ $name =~ ^[a-z]+$ ]] || fail "a fetcher has: '$name'" "$(cat "$BATS_TEST_TMPDIR/found")"
			seen+="$name "
		done
	done
	# Each its own: the search does find what is there.
	assert_equal "$(tr ' ' '\n' <<<"$seen" | sort | paste -sd ' ')" ' command credential file inline netrc other'
	: >go
	await_end 77
}

@test "the poller keeps what the configuration says of accounts that are still to come, and no longer" {
	local name deliverer

	start_fakepop -e any-user -e "session 1 touch $HOME/at-1" -e "session 1 await $HOME/go" -e 'session 1 send +OK ready'
	{
		for name in one two three; do
			make_password "$name"
			account "$name" "user = \"$name\"" "password = \"$PASSWORD\""
		done
		echo 'jobs = 1'
	} | write_config
	begin
	wait_until 20 test -e at-1
	assert_remembers "$POLLER" poller three two
	deliverer=$(children_of "$POLLER")
	assert_remembers "$deliverer" deliverer
	assert_remembers "$(children_of "$deliverer")" fetcher one
	: >go
	await_end 77
}

# knows_after STAGE NAME…: at the server's "touch at-STAGE; await go" the fetcher of the one account has these.
knows_after() {
	local stage=$1 deliverer fetcher

	shift
	wait_until 20 test -e "$HOME/at-$stage"
	deliverer=$(children_of "$POLLER")
	fetcher=$(children_of "$deliverer" | head -n 1)
	assert_remembers "$POLLER" poller
	assert_remembers "$deliverer" deliverer
	assert_remembers "$fetcher" "fetcher after $stage" "$@"
	: >"$HOME/go-$stage"
}

@test "once it is logged in, no process has the password any more: each way to log in, clear and under TLS" {
	local auth tls

	for tls in '' --tls; do
		# What a mechanism sends is the same in both.
		for auth in $([ -z "$tls" ] && echo APOP CRAM-MD5 PLAIN || echo USER LOGIN); do
			: >"$SECRETS"
			make_password jane
			stop_servers
			rm -rf at-* go-* Maildir "$STATE"
			# shellcheck disable=SC2086
			start_fakepop $tls --password "$PASSWORD" --apop -e 'messages 1' -e 'capa +SASL PLAIN LOGIN CRAM-MD5' \
				-e "on UIDL touch $HOME/at-UIDL; await $HOME/go-UIDL; normal" \
				-e "on RETR touch $HOME/at-RETR; await $HOME/go-RETR; normal"
			use "password = \"$PASSWORD\"" "auth = \"$auth\"" 'pipelining = "off"'
			begin
			knows_after UIDL
			knows_after RETR
			await_end 0
		done
	done
}

@test "while commands in a row may still break the connection, the fetcher keeps the password for another one" {
	make_password jane
	start_fakepop --tls --password "$PASSWORD" -e 'messages 3' \
		-e "on UIDL touch $HOME/at-UIDL; await $HOME/go-UIDL; normal" \
		-e "on RETR 3 touch $HOME/at-RETR; await $HOME/go-RETR; normal"
	use "password = \"$PASSWORD\""
	begin
	knows_after UIDL jane
	knows_after RETR
	await_end 0
}

@test "SCRAM, and a command that takes the mail: neither has the password while mail is delivered" {
	local auth

	start_dovecot
	make_password jane
	mkdir folder
	printf 'Subject: 1\n\ntext\n' >folder/1
	put_messages folder jane
	printf 'jane:%s\n' "$PASSWORD" >"$DOVECOT_DIR/users"
	cat >take <<-EOF
		#!/bin/sh
		cat >/dev/null
		touch "$HOME/at-take"
		until [ -e "$HOME/go-take" ]; do sleep 0.02; done
	EOF
	chmod 700 take
	for auth in SCRAM-SHA-1 SCRAM-SHA-256 PLAIN; do
		rm -rf at-* go-* "$STATE"
		use "password = \"$PASSWORD\"" "auth = \"$auth\"" "deliver = \"pipe:$HOME/take\""
		begin
		wait_until 20 test -e at-take
		for process in $(children_of "$(children_of "$POLLER")"); do
			assert_remembers "$process" "fetcher or command"
		done
		knows_after take
		await_end 0
	done
}
