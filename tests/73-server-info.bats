#!/usr/bin/env bats
# --server-info: what a server tells before a login, and whether it would be let in.

load helper

# ask: --server-info of the account "box", which has no password, for the server started last.
ask() {
	account box 'password =' "${LINES_OF_BOX[@]}" | write_config
	poll --server-info box
}

# Nothing of a login was sent, and the session ended in good order; no state was left.
assert_harmless() {
	run ! grep -Eq '^[0-9]+> (AUTH|USER|PASS|APOP|UIDL|LIST|STAT|RETR|DELE|UTF8)' "$TRANSCRIPT"
	[ ! -e "$STATE" ]
	wait_until 10 no_process_is_left
}

pin_of() {
	echo "sha256//$(certtool --infile "$1" --pubkey-info --outder 2>/dev/null | openssl dgst -sha256 -binary | base64)"
}

setup() {
	default_setup
	LINES_OF_BOX=()
}

@test "shows greeting, capabilities, TLS, the chain, the pin and the mechanism, and asks for no password" {
	start_fakepop --tls -e 'greeting +OK fake <1.2@x.org>' -e 'capa before +IMPLEMENTATION one'
	ask
	assert_status 0
	assert_output_has "$HOST, port $PORT, implicit TLS"
	assert_output_has '  address    127.0.0.1'
	assert_output_has '  TLS        TLS1.3 '
	assert_output_has 'certificate 1 of 1'
	assert_output_has 'subject  CN=pophaul test server'
	assert_output_has 'issuer   CN=pophaul test CA'
	assert_output_has 'names    localhost, 127.0.0.1, ::1'
	assert_output_matches '^    valid    20[0-9-]{8} [0-9:]{5} to 20[0-9-]{8} [0-9:]{5} UTC$'
	assert_output_has 'key      EC/ECDSA, 256 bits'
	assert_output_has "  pin = \"$(pin_of "$CERT_FILE")\""
	assert_output_has '  accepted   yes'
	assert_output_has '  greeting   +OK fake <1.2@x.org>'
	assert_output_has '  capabilities before the login'
	assert_output_has '    IMPLEMENTATION one'
	assert_output_matches '^  mechanisms .*PLAIN.* APOP$'
	assert_output_has '  login      PLAIN'
	assert_output_has 'is not known: nobody has logged in'
	assert_equal "$stderr" ''
	assert_equal "$(transcript)" 'CAPA
QUIT'
	assert_harmless
}

@test "the pin that it shows is the one that the configuration takes" {
	start_fakepop --tls -e 'messages 1'
	ask
	pin=$(sed -n 's/^  pin = "\(.*\)"$/\1/p' <<<"$output")
	account box "pin = \"$pin\"" | write_config
	poll
	assert_status 0
	LINES_OF_BOX=("pin = \"sha256//$(head -c 32 /dev/zero | base64)\"")
	rm -rf "$STATE"
	ask
	assert_status 76
	assert_output_has "$pin"
	assert_output_has '  accepted   no: '
	assert_equal "$(transcript 3)" ''
	[ ! -e "$STATE" ]
}

@test "through STLS it shows the capabilities before and within TLS" {
	start_fakepop --stls -e 'once on CAPA send +OK; send STLS; send X-CLEAR; send .' -e 'capa +X-TLS'
	ask
	assert_status 0
	assert_equal "$(transcript)" 'CAPA
STLS
CAPA
QUIT'
	assert_output_has "port $PORT, STLS"
	[[ $output == *'capabilities before TLS'*X-CLEAR*'TLS1.3'*'accepted   yes'*'capabilities within TLS'*X-TLS* ]]
	assert_harmless
}

@test "in clear it says so, and that the server has TLS" {
	start_fakepop --stls
	LINES_OF_BOX=('tls = "none"' 'tls-trust-file =')
	ask
	assert_status 0
	assert_output_has 'in clear'
	assert_output_has 'the server has it: use tls = "starttls"'
	refute_output_has certificate
	assert_harmless
}

@test "a server whose certificate is refused is shown all the same, with status 76" {
	make_certs
	for tls in --tls --stls; do
		ca=$CERT_DIR/ca
		CERT_DIR=$HOME make_cert "$HOME/wrong" "$ca" 'dns_name = "other.example.org"'
		start_fakepop "$tls" "$HOME/wrong.pem" "$HOME/wrong.key"
		ask
		assert_status 76
		assert_output_has 'names    other.example.org'
		assert_output_has "$(pin_of wrong.pem)"
		assert_output_matches "^  accepted   no: .*'other.example.org'.*not for '127.0.0.1'"
		assert_stderr_has "not for '127.0.0.1'"
		refute_output_has 'login  '
		assert_harmless
		stop_servers
	done
}

@test "what the server says is quoted and bounded" {
	start_fakepop -e 'greeting "+OK \x1b[31mred"' -e 'on CAPA raw "+OK\r\n\x1b]0;title\x07\r\n"; flood 6000 "X-MANY\r\n"; raw ".\r\n"'
	ask
	assert_status 0
	! grep -q $'\x1b\|\x07' <<<"$output" || fail 'an escape gets to the terminal'
	assert_output_has '\x1b[31mred'
	assert_output_has '\x1b]0;title\x07'
	assert_equal "$(grep -c 'X-MANY' <<<"$output")" 99
	assert_output_has '  login      '
}

@test "it fails as a poll does, and tells what it has seen" {
	start_fakepop --tls -e 'greeting -ERR [SYS/TEMP] go away'
	ask
	assert_status 75
	assert_output_has '  greeting   -ERR [SYS/TEMP] go away'
	start_fakepop -e 'on CAPA drop'
	ask
	assert_status 69
	start_fakepop -e 'on CAPA send -ERR'
	ask
	assert_status 0
	assert_output_has 'none, it refuses CAPA'
	start_fakepop --stls -e 'on STLS send -ERR no'
	ask
	assert_status 76
	assert_output_has 'capabilities before TLS'
	stop_servers
	ask
	assert_status 69
	assert_output_has "$HOST, port $PORT"
}

@test "it takes a URL, no lock and no back-off, and excludes the other modes" {
	start_fakepop --tls -e 'messages 1' -e 'greeting +OK hi'
	poll --server-info --tls-trust-file "$CA_FILE" "pop://jane@127.0.0.1:$PORT"
	assert_status 0
	assert_output_has '  greeting   +OK hi'
	mkdir -p "$STATE"
	: >"$STATE/box.lock"
	account box 'password =' | write_config
	run --separate-stderr flock "$STATE/box.lock" timeout -k 5 60 "$POPHAUL" --server-info box
	assert_status 0
	assert_equal "$(ls "$STATE")" box.lock
	poll --server-info --list
	assert_status 64
	assert_stderr_has 'exclude each other'
}
