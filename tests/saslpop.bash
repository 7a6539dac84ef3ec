# A POP3 server on the server side of Cyrus SASL: `load saslpop` behind `load helper`.

# start_saslpop SETTING…: see saslpop/saslpop.c. Sets PORT, SERVER_TLS and SASLPOP_LOG.
start_saslpop() {
	local base=$BATS_TEST_TMPDIR/saslpop-$((++FAKEPOP_COUNT))

	make_certs
	SASLPOP_LOG=$base.log
	"$BUILD/tests/saslpop/saslpop" "$CERT_FILE" "$KEY_FILE" "$base.ready" "$SASLPOP_LOG" "$@" \
		</dev/null >"$base.errors" 2>&1 3>&- &
	SERVER_PIDS+=($!)
	wait_until 20 test -e "$base.ready" || fail "$(cat "$base.errors")"
	PORT=$(<"$base.ready") SERVER_TLS=implicit
}

# seen PREFIX: what follows it in saslpop's log.
seen() {
	sed -n "s/^$1 //p" "$SASLPOP_LOG"
}
