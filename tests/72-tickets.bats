#!/usr/bin/env bats
# A TLS session that goes on in the next run: tickets, where they are kept, and what they are not good for.

load helper

# A server that lets sessions go on; the options are fakepop's.
serve_tickets() {
	start_fakepop -e 'messages 1' -e 'tls-tickets one' "$@"
}

# run_box [LINE…]: poll the account "box" with these lines, well.
run_box() {
	account box "$@" | write_config
	poll -v
	assert_status 0
}

# assert_resumed VERSION, assert_whole VERSION: how the last session that fakepop had began.
assert_resumed() {
	assert_equal "$(last_tls)" "tls $1 resumed"
	assert_stderr_has ', resumed'
}

assert_whole() {
	assert_equal "$(last_tls)" "tls $1"
	refute_stderr_has ', resumed'
}

last_tls() {
	sed -n 's/^[0-9]*\* tls /tls /p' "$TRANSCRIPT" | tail -n 1
}

TICKET() {
	echo "$STATE/box.ticket"
}

# The ticket was taken: its file is there, of zeros.
is_taken() {
	[ -s "$(TICKET)" ] && [ -z "$(tr -d '\0' <"$(TICKET)")" ]
}

@test "the second run resumes the session of the first, by implicit TLS and STLS, in TLS 1.3 and 1.2" {
	for tls in --tls --stls; do
		for version in 1.3 1.2; do
			rm -rf "$STATE"
			serve_tickets "$tls" -e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
			run_box
			assert_whole "TLS$version"
			assert_equal "$(stat -c '%a %F' "$(TICKET)")" '600 regular file'
			first=$(sha256sum <"$(TICKET)")
			run_box
			assert_resumed "TLS$version"
			# Another one, in TLS 1.3: each is good once.
			[ "$version" = 1.2 ] || [ "$first" != "$(sha256sum <"$(TICKET)")" ]
			run_box
			assert_resumed "TLS$version"
			stop_servers
		done
	done
}

@test "Dovecot resumes, too" {
	start_dovecot
	run_box
	refute_stderr_has ', resumed'
	run_box
	assert_stderr_has ', resumed'
	run_box "port = $PORTS" 'tls = "implicit"'
	refute_stderr_has ', resumed'
	run_box "port = $PORTS" 'tls = "implicit"'
	assert_stderr_has ', resumed'
}

@test "a ticket is used once: it is gone before the server hears of it, and after a session that failed" {
	serve_tickets --tls -e 'session 2 on UIDL send -ERR [SYS/TEMP] no'
	run_box
	account box | write_config
	poll
	assert_status 75
	assert_equal "$(last_tls)" 'tls TLS1.3 resumed'
	# Its file stays, of zeros, which is no damage to speak of.
	is_taken
	run_box
	assert_whole TLS1.3
	refute_stderr_has 'no TLS session is resumed'
	run_box
	assert_resumed TLS1.3
}

@test "the file of a ticket is written over, not made anew, and not by a link to it" {
	serve_tickets --tls
	run_box
	exec 7<"$(TICKET)"
	run_box
	assert_resumed TLS1.3
	# What was open before has the new one, and a name.
	assert_equal "$(stat -L -c %h /proc/self/fd/7)" 1
	assert_equal "$(sha256sum <&7)" "$(sha256sum <"$(TICKET)")"
	exec 7<&-
	# Between taking and keeping, somebody makes another name for it.
	stop_servers
	start_fakepop --tls -e 'messages 1' -e 'tls-tickets one' -e "on UIDL await $HOME/go; normal"
	account box | write_config
	pophaul 3>&- &
	wait_until 10 is_taken
	ln "$(TICKET)" other
	: >go
	wait $!
	[ -z "$(tr -d '\0' <other)" ] || fail 'it was written to by another name'
	assert_equal "$(stat -c '%a %h' "$(TICKET)")" '600 1'
}

@test "an account with another setting does not resume" {
	serve_tickets --tls
	cp "$CA_FILE" ca.pem
	cat "$CERT_FILE" "$KEY_FILE" >mine.pem
	chmod 600 mine.pem
	pin=sha256//$(certtool --infile "$CERT_FILE" --pubkey-info --outder 2>/dev/null |
		openssl dgst -sha256 -binary | base64)
	for line in 'host = "localhost"' 'tls-trust-file = "ca.pem"' 'tls-host = "localhost"' \
		'tls-priority = "-CIPHER-ALL:+AES-256-GCM"' 'tls-cert = "mine.pem"' "pin = \"$pin\""; do
		rm -rf "$STATE"
		run_box "tls-trust-file = \"$HOME/ca.pem\""
		line=${line/ca.pem/$CA_FILE}
		[[ $line == tls-trust* ]] || line+=$'\n'"tls-trust-file = \"$HOME/ca.pem\""
		account box 'tls-trust-file =' "${line/mine.pem/$HOME/mine.pem}" | write_config
		poll -v
		assert_status 0
		assert_whole TLS1.3
	done
}

@test "nor one whose trust file has another content" {
	serve_tickets --tls
	cp "$CA_FILE" ca.pem
	run_box "tls-trust-file = \"$HOME/ca.pem\""
	run_box "tls-trust-file = \"$HOME/ca.pem\""
	assert_resumed TLS1.3
	make_ca "$HOME/other"
	cp other.pem ca.pem
	poll -v
	assert_status 76
	assert_equal "$(count_sessions)" 3
	transcript_events 3 | grep -q handshake-failed
	assert_stderr_has 'tls-trust-file'
}

@test "a resumed session with a certificate that has expired meanwhile is refused; a new one is accepted" {
	make_certs
	for version in 1.3 1.2; do
		rm -rf "$STATE"
		ca=$CERT_DIR/ca
		CERT_DIR=$HOME make_cert "$HOME/short" "$ca" 'ip_address = "127.0.0.1"' \
			"expiration_date = \"$(date -u -d '+2 hours' '+%Y-%m-%d %H:%M:%S')\""
		serve_tickets --tls "$HOME/short.pem" "$HOME/short.key" \
			-e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		run_box
		account box | write_config
		run --separate-stderr later +3h pophaul -v
		assert_status 76
		assert_stderr_has 'expired'
		assert_equal "$(count_sessions)" 3
		transcript_events 2 | grep -qx "tls TLS$version resumed"
		transcript_events 3 | grep -q handshake-failed
		run ! grep -q '^[23]> ' "$TRANSCRIPT"
		run_box
		port=$PORT
		stop_servers
		serve_tickets --port "$port" --tls "$CERT_FILE" "$KEY_FILE" \
			-e "tls-priority NORMAL:-VERS-ALL:+VERS-TLS$version"
		run --separate-stderr later +3h pophaul -v
		assert_status 0
		assert_equal "$(sed -n 's/^[0-9]*\* tls //p' "$TRANSCRIPT")" "TLS$version resumed
TLS$version"
		stop_servers
	done
}

@test "a whole handshake is made a day at least, however often a session goes on" {
	serve_tickets --tls
	run_box
	for hours in 5 10 15 20; do
		run --separate-stderr later "+${hours}h" pophaul -v
		assert_status 0
		assert_resumed TLS1.3
	done
	run --separate-stderr later +25h pophaul -v
	assert_status 0
	assert_whole TLS1.3
	# One from the future says nothing of its age.
	run_box
	assert_whole TLS1.3
}

@test "a server that does not know the ticket any more, or sends none, is polled all the same" {
	serve_tickets --tls
	run_box
	port=$PORT
	stop_servers
	start_fakepop --port "$port" --tls -e 'messages 1' -e 'tls-tickets other'
	run_box
	assert_whole TLS1.3
	stop_servers
	start_fakepop --port "$port" --tls -e 'messages 1'
	run_box
	assert_whole TLS1.3
	stop_servers
	start_fakepop --port "$port" --tls -e 'messages 1'
	run_box
	assert_whole TLS1.3
}

@test "a ticket that is damaged, cut, huge or no file of ours harms nothing and is removed" {
	serve_tickets --tls
	run_box
	echo secret >elsewhere
	for damage in 'printf x | dd of=T bs=1 seek=300 conv=notrunc' 'truncate -s 200 T' 'truncate -s 0 T' \
		'head -c 1000000 /dev/urandom >T' 'head -c 1500 /dev/urandom >T' 'chmod 644 T' 'rm T; mkfifo -m 600 T' \
		'ln T hard' 'rm T; ln -s $HOME/elsewhere T' 'rm T; ln -s /nowhere T'; do
		eval "${damage//T/$(TICKET)}" 2>/dev/null
		run_box
		assert_whole TLS1.3
		assert_stderr_has 'no TLS session is resumed: '
		assert_equal "$(stat -c '%a %F' "$(TICKET)")" '600 regular file'
		rm -f hard
		run_box
		assert_resumed TLS1.3
	done
	assert_equal "$(cat elsewhere)" secret
	rm "$(TICKET)"
	mkdir -p "$(TICKET)/full"
	run_box
	assert_whole TLS1.3
	assert_stderr_has 'the TLS session cannot be resumed next time: '
	assert_equal "$(ls "$STATE" | sort | paste -sd ' ')" 'box.lock box.ticket box.uidl'
}

@test "what GnuTLS packed may be damaged behind a right digest: the session begins anew" {
	serve_tickets --tls
	run_box
	python3 - "$(TICKET)" <<-'EOF'
		import hashlib, sys
		with open(sys.argv[1], "rb") as file:
		    whole = file.read()
		magic = b"pophaul-ticket 2\n"
		assert whole.startswith(magic)
		content = whole[len(magic) + 16:]
		assert whole[len(magic):len(magic) + 16] == hashlib.sha256(content).digest()[:16]
		content = content[:-500]
		with open(sys.argv[1], "wb") as file:
		    file.write(magic + hashlib.sha256(content).digest()[:16] + content)
	EOF
	run_box
	assert_whole TLS1.3
}

@test "--list and --dry-run neither use a ticket nor leave one" {
	serve_tickets --tls
	account box | write_config
	for mode in --list --dry-run; do
		poll -v "$mode"
		assert_status 0
		[ ! -e "$STATE" ]
	done
	run_box
	before=$(sha256sum <"$(TICKET)")
	for mode in --list --dry-run; do
		poll -v "$mode"
		assert_status 0
		assert_whole TLS1.3
		assert_equal "$(sha256sum <"$(TICKET)")" "$before"
	done
}

@test "a ticket costs no fsync, and is in no log" {
	serve_tickets --tls
	run_box
	run_box
	account box | write_config
	strace -f -y -o trace -e trace=fsync,fdatasync,syncfs timeout -k 5 60 "$BUILD/pophaul" -vv 2>log
	assert_equal "$(last_tls)" 'tls TLS1.3 resumed'
	run ! grep -q ticket trace
	run ! grep -qi 'pophaul-ticket' log
}
