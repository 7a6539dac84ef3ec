# A Kerberos realm of a test's own: `load kerberos` behind `load helper`.

# start_kdc: a key server of MIT for the realm EXAMPLE.ORG, in KRB_DIR, and its surroundings (KRB5_CONFIG, KRB5CCNAME).
# It knows jane (password "secret") and pop/localhost. KRB_DIR/server.keytab is the server's, KRB_DIR/jane.keytab
# jane's. KRB_DIR/client is for tickets: there are none yet.
start_kdc() {
	local port try

	PATH=$PATH:/usr/sbin:/sbin
	KRB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-kdc.XXXXXX")
	SERVER_DIRS+=("$KRB_DIR")
	chmod 711 "$KRB_DIR"
	mkdir "$KRB_DIR/client"
	give_to_client "$KRB_DIR/client"
	export KRB5_CONFIG=$KRB_DIR/krb5.conf KRB5_KDC_PROFILE=$KRB_DIR/kdc.conf KRB5CCNAME=FILE:$KRB_DIR/client/tickets
	unset KRB5_CLIENT_KTNAME KRB5_KTNAME KRB5_TRACE
	# Another process may take a port between its choice and its use.
	for try in 1 2 3 4 5; do
		port=$(free_port)
		write_kdc_config "$port"
		[ -e "$KRB_DIR/jane.keytab" ] || make_realm || fail "$(cat "$KRB_DIR/log")" || return
		setpriv --pdeathsig TERM krb5kdc -n -r EXAMPLE.ORG </dev/null >>"$KRB_DIR/log" 2>&1 3>&- &
		KDC_PID=$!
		if wait_until 20 kdc_has_decided && kill -0 "$KDC_PID" 2>/dev/null; then
			SERVER_PIDS+=("$KDC_PID")
			return
		fi
	done
	fail 'the key server does not start' "$(cat "$KRB_DIR/log")"
}

kdc_has_decided() {
	grep -q 'commencing operation' "$KRB_DIR/kdc.log" 2>/dev/null || ! kill -0 "$KDC_PID" 2>/dev/null
}

write_kdc_config() {
	cat >"$KRB5_CONFIG" <<-EOF
		[libdefaults]
			default_realm = EXAMPLE.ORG
			default_client_keytab_name = FILE:$KRB_DIR/none
			dns_lookup_kdc = false
			dns_lookup_realm = false
			dns_canonicalize_hostname = false
			rdns = false
		[realms]
			EXAMPLE.ORG = {
				kdc = 127.0.0.1:$1
			}
		[domain_realm]
			localhost = EXAMPLE.ORG
	EOF
	cat >"$KRB5_KDC_PROFILE" <<-EOF
		[kdcdefaults]
			kdc_listen = 127.0.0.1:$1
			kdc_tcp_listen = 127.0.0.1:$1
		[realms]
			EXAMPLE.ORG = {
				database_name = $KRB_DIR/principal
				key_stash_file = $KRB_DIR/stash
				acl_file = $KRB_DIR/acl
			}
		[logging]
			kdc = FILE:$KRB_DIR/kdc.log
	EOF
}

make_realm() {
	kdb5_util create -s -r EXAMPLE.ORG -P master &&
		kadmin.local -r EXAMPLE.ORG <<-EOF
			addprinc -pw secret jane
			addprinc -randkey pop/localhost
			ktadd -k $KRB_DIR/server.keytab pop/localhost
			ktadd -norandkey -k $KRB_DIR/jane.keytab jane
		EOF
	[ -e "$KRB_DIR/jane.keytab" ] && chmod 644 "$KRB_DIR"/*.keytab
} >>"$KRB_DIR/log" 2>&1

# Dovecot, as start_dovecot, which takes tickets of the realm.
start_dovecot_with_kerberos() {
	start_dovecot 'auth_mechanisms = gssapi gss-spnego plain' 'auth_username_format = %Ln' \
		"auth_krb5_keytab = $KRB_DIR/server.keytab" 'auth_gssapi_hostname = localhost' \
		"import_environment = TZ KRB5_CONFIG=$KRB5_CONFIG KRB5RCACHENAME=none:" "$@"
}

# Where root runs the program, the process that logs in is another user.
give_to_client() {
	[ "$(id -u)" -ne 0 ] || chown "$(id -un pophaul 2>/dev/null || echo nobody)" "$1"
}

# ticket USER: for the cache, by password.
ticket() {
	kinit "$1" >/dev/null <<<secret && give_to_client "$KRB_DIR/client/tickets"
}
