/* REASON(symbol, code, exit status, what is wrong, what to do). Order is free; codes are for ever.
 * No include guard: it is included once per use, with REASON defined. A table, laid out by hand. */
/* clang-format off */
REASON(NONE, "none", 0, "Nothing is wrong.", "")
REASON(OTHER, "other", 1, "A reason that this version does not know.",
    "Update devtrust on this device, or look the code up in the newer version's manual.")
REASON(INTERNAL, "internal", 1, "An internal error.",
    "Look at the log for the message before this one and report it.")
REASON(NO_MEMORY, "no-memory", 1, "Memory is out.", "Free memory and try again.")
REASON(STORAGE, "storage", 1, "The state directory cannot be written.",
    "Check free space and permissions of the state directory; it is tried again by itself.")
/* enrolment and the server's side */
REASON(NOT_ENROLLED, "not-enrolled", 1, "This device is not enrolled.",
    "Run: devtrustctl enroll URL --token-file FILE (as root).")
REASON(TOKEN_REFUSED, "token-refused", 5, "The server does not accept the enrolment token: wrong, used up, "
    "expired or revoked.",
    "Make a new one on the server (devtrust-server token create) and enrol again.")
REASON(SERVER_UNREACHABLE, "server-unreachable", 3, "The server cannot be reached.",
    "Check the network and the server's address; it is tried again by itself.")
REASON(SERVER_TIMEOUT, "server-timeout", 3, "The server did not answer in time.",
    "Check the network and whether the server is overloaded; it is tried again by itself.")
REASON(SERVER_TLS, "server-tls", 5, "The server's TLS certificate does not verify: another CA, another name, or expired.",
    "Check the URL; with a private CA pass its pin (devtrust-server status prints it) as --ca-pin.")
REASON(SERVER_ERROR, "server-error", 1, "The server answered with an error.",
    "Look at the server's log; it is tried again by itself.")
REASON(SERVER_ANSWER, "server-answer", 1, "The server's answer is not what the protocol says; it was not used.",
    "Check that the URL is a devtrust server and no proxy answers in its place.")
REASON(SERVER_REFUSED, "server-refused", 5, "The server refuses this request.",
    "Check the assignment and the switch on the server (devtrust-server status).")
REASON(REDIRECT, "redirect", 5, "The server redirects; a redirect is never followed.",
    "Enrol with the final URL.")
REASON(CLOCK, "clock", 1, "This device's clock and the server's disagree.",
    "Set the clock (timedatectl); certificates are judged by it.")
REASON(CLONED, "cloned", 1, "This identity was made on another machine; it is not used here.",
    "Enrol this machine on its own: devtrustctl enroll URL --token-file FILE.")
REASON(DEVICE_SUSPENDED, "device-suspended", 5, "The server has suspended this device.",
    "Ask the administrator to look at the device on the server.")
REASON(DEVICE_REMOVED, "device-removed", 1, "The server has removed this device.",
    "Enrol it again if it should be managed.")
REASON(HELD, "held", 1, "Removed by the local administrator and held so.",
    "Run: devtrustctl renew (as root), or enrol again.")
REASON(NEWER_STATE, "newer-state", 1, "A state file was written by a newer version; it is left alone.",
    "Install that version again, or move the file away.")
REASON(BROKEN_STATE, "broken-state", 1, "A state file was broken; it was set aside.",
    "Nothing to do: it is rebuilt. The old one is kept as NAME.broken.")
REASON(CONFIG, "config", 2, "The configuration file has an error.", "Mend the line that the message names.")
REASON(URL_INVALID, "url-invalid", 2, "The server's address is not of the form https://HOST[:PORT].",
    "Pass the address that devtrust-server status prints, such as https://trust.example.com:8443.")
REASON(PIN_INVALID, "pin-invalid", 2, "The CA pin is not a SHA-256 hash of 64 hex digits.",
    "Pass the pin that devtrust-server status prints.")
REASON(TOKEN_INVALID, "token-invalid", 2, "The enrolment token is not of the form ID.SECRET.",
    "Pass the token as devtrust-server token create prints it.")
REASON(MACHINE_ID, "machine-id", 1, "This machine has no valid machine id, to which its identity is bound.",
    "Run: systemd-machine-id-setup, then restart devtrustd.")
/* desired state and policy */
REASON(STATE_INVALID, "state-invalid", 1, "The server's desired state is not valid; the last good one is kept.",
    "Update the device or mend the server's settings; the log names the field.")
REASON(PATTERN_REFUSED, "pattern-refused", 1, "A portal pattern is outside what this device allows; it was left out.",
    "Allow it in devtrustd.conf, [limits] allowed_patterns, or mend it on the server.")
REASON(POLICY_DIRECTORY, "policy-directory", 1, "A browser policy directory is missing, not root's, or writable by others.",
    "Make it root-owned, mode 0755; it is tried again by itself. Where it is new: systemctl restart devtrustd.")
REASON(POLICY_BROKEN_FILE, "policy-broken-file", 1, "An administrator's policy file beside ours is not valid JSON; browsers ignore it.",
    "Mend or remove the file that the message names.")
REASON(POLICY_CONFLICT, "policy-conflict", 1, "Another policy file overrides ours.",
    "Rename it so that it sorts before zz-devtrust.json, or remove its AutoSelectCertificateForUrls.")
REASON(POLICY_EXTERNAL, "policy-external", 1, "Another tool owns the browser policy, and our rules are not in it.",
    "Have that tool install the rules that status prints.")
/* users and signing */
REASON(NOT_MANAGED, "not-managed", 1, "This user is not managed on this device.",
    "Ask the administrator for an assignment of user, device and local user name.")
REASON(DISTRIBUTION_OFF, "distribution-off", 1, "Certificate distribution is off.",
    "The administrator switches it on: devtrust-server distribution on.")
REASON(DISTRIBUTION_PAUSED, "distribution-paused", 1, "Certificate distribution is paused; nothing is changed on the device.",
    "The administrator switches it on again: devtrust-server distribution on.")
REASON(USER_UNKNOWN, "user-unknown", 1, "The assigned local user name does not exist on this device.",
    "Create the account, or mend the local name of the assignment.")
REASON(USER_REFUSED, "user-refused", 1, "The assigned local user is root, a system account or nobody.",
    "Assign an ordinary account.")
REASON(USER_CHANGED, "user-changed", 1, "The local account behind this assignment has changed its uid or name.",
    "Remove and make the assignment again on the server if that is intended.")
REASON(NO_AGENT, "no-agent", 1, "No agent of this user is attached.",
    "The user signs in, or starts devtrust-agent.")
REASON(NOT_SIGNED_IN, "not-signed-in", 1, "This user is not signed in.",
    "Nothing to do: it goes on when the user signs in.")
REASON(AGENT_TIMEOUT, "agent-timeout", 1, "The user's agent did not answer in time.",
    "Look at the agent's log; restart it.")
REASON(RATE_LIMITED, "rate-limited", 1, "Too many requests in the last hour.", "Wait; it is tried again by itself.")
REASON(CSR_INVALID, "csr-invalid", 1, "The signing request is not one valid PKCS#10 object.",
    "Restart the agent; report it if it comes again.")
REASON(CSR_TOO_LARGE, "csr-too-large", 1, "The signing request is larger than 4 KiB.", "Restart the agent.")
REASON(CSR_SIGNATURE, "csr-signature", 1, "The signing request is not signed by its own key, or with a weak digest.",
    "Restart the agent; report it if it comes again.")
REASON(CSR_SUBJECT, "csr-subject", 1, "The signing request's subject is not the ordered one.", "Restart the agent.")
REASON(CSR_EXTENSIONS, "csr-extensions", 1, "The signing request asks for extensions; none are allowed.", "Restart the agent.")
REASON(CSR_KEY, "csr-key", 1, "The key's type, size or parameters are not allowed, or not the ordered ones.",
    "Order p256, p384, rsa2048 or rsa3072 on the server.")
REASON(CSR_KEY_REUSED, "csr-key-reused", 1, "This key has been used before.", "Restart the agent.")
REASON(LEAF_KEY, "leaf-key", 1, "The issued certificate is for another key.", "Look at the server's log.")
REASON(LEAF_NAME, "leaf-name", 1, "The issued certificate names another device or user, or has no proper common name.",
    "Look at the assignment on the server.")
REASON(LEAF_USAGE, "leaf-usage", 1, "The issued certificate has the wrong usage, is a CA, or is of another type.",
    "Look at the server's certificate profile.")
REASON(LEAF_CHAIN, "leaf-chain", 1, "The issued certificate does not chain to the pinned trust root.",
    "Enrol again if the server's CA has changed.")
REASON(LEAF_LIFETIME, "leaf-lifetime", 1, "The issued certificate is expired or its lifetime is out of bounds.",
    "Check the clocks of device and server, and the lifetime set on the server.")
REASON(BUNDLE_INVALID, "bundle-invalid", 1, "The server's certificates cannot be decoded.",
    "Check that no proxy answers in the server's place.")
/* stores */
REASON(STORE_NONE, "store-none", 1, "No certificate store of this user could be used.",
    "Look at the stores listed with the reason of each.")
REASON(STORE_PASSWORD, "store-password", 1, "The store is locked with a master password; it was left as it is.",
    "Remove the master password of this certificate database; then run: devtrustctl repair.")
REASON(STORE_CORRUPT, "store-corrupt", 1, "The store's files are broken; they were left as they are.",
    "Move the certificate database away; the browser makes a new one.")
REASON(STORE_READ_ONLY, "store-read-only", 1, "The store cannot be written.",
    "Check the permissions of the certificate database and whether the file system is read-only.")
REASON(STORE_FULL, "store-full", 1, "No space is left for the store.", "Free space in the home directory.")
REASON(STORE_NETWORK, "store-network", 1, "The store is on a network file system, where its database cannot be trusted to stay whole.",
    "Keep browser profiles and ~/.local/share/pki on a local disk; the store was left as it is.")
REASON(STORE_MISSING, "store-missing", 1, "The home directory or the store is missing.",
    "Make the home directory available and sign in again.")
REASON(STORE_VERIFY, "store-verify", 1, "The certificate or its key could not be read back and used after the import.",
    "It was undone; look at the agent's log.")
REASON(STORE_ERROR, "store-error", 1, "The store's library failed.", "Look at the agent's log.")
REASON(RECORD_WRITE, "record-write", 1, "The agent's record cannot be written.",
    "Free space in the home directory and check ~/.local/state/devtrust.")
REASON(STORE_BUSY, "store-busy", 1, "The store did not answer in time: another program holds it, or its file system hangs.",
    "Close other programs that use certificates and try again; check the file system of the home directory.")
REASON(STORE_STALE, "store-stale", 1, "The store holds a certificate of ours, but not the current one.",
    "Run: devtrustctl repair.")
REASON(STORE_KEY, "store-key", 1, "The certificate's key is not in the store or does not sign.", "Run: devtrustctl repair.")
REASON(STORE_DOUBLE, "store-double", 1, "The store holds more than one certificate and one key of ours.",
    "Run: devtrustctl repair.")
REASON(STORE_HIDDEN, "store-hidden", 1, "A certificate database that came to be later hides the one that holds the certificate.",
    "Run: devtrustctl repair; the other database gets a certificate too.")
REASON(BROWSER_NOT_SERVED, "browser-not-served", 1, "This browser reads its certificates where devtrust puts none.",
    "Use another browser or profile, or delete profiles that are no longer used: at most 16 stores are looked after.")
REASON(BROWSER_RESTART, "browser-restart", 1, "The browser was started before the certificate came: where it has been before it may go on without.",
    "Restart the browser.")
REASON(BROWSER_OLD_POLICY, "browser-old-policy", 1, "The browser was started before its policy came: it asks which certificate to present.",
    "Restart the browser, once.")
REASON(PRESENCE_UNKNOWN, "presence-unknown", 1, "It is not known since when this browser has had its certificate.",
    "Nothing to do; restart the browser if it goes on without.")
REASON(HOME_PERMISSIONS, "home-permissions", 1, "Others can read or change what only this user should.",
    "Run as this user: chmod go= on the path that is named.")
REASON(RECORD_MISSING, "record-missing", 1, "The agent's record is missing.", "Run: devtrustctl repair; it is written anew.")
REASON(EXPIRED, "expired", 1, "The certificate has expired.", "Connect to the server; it renews by itself.")
REASON(REVOKED, "revoked", 1, "The certificate has been revoked.",
    "A newer one takes its place by itself; else ask the administrator.")
REASON(WRONG_CERTIFICATE, "wrong-certificate", 1, "The certificate presented is not a user's device trust certificate.",
    "Choose the certificate whose name ends in Device Trust Certificate and eight letters and digits; restart the browser to be asked again.")
REASON(CHECK_FAILED, "check-failed", 1, "The browser did not complete the check.",
    "Allow cookies for this site and reload; the check host name must resolve to the portal.")
/* what a doctor finds, on the device */
REASON(ENROLLING, "enrolling", 1, "The device is being enrolled; the server has not answered yet.",
    "Wait a minute; it is tried again by itself.")
REASON(NOT_YET_VALID, "not-yet-valid", 1, "The certificate is not valid yet by this device's clock.",
    "Set the clock (timedatectl).")
REASON(RENEWAL_OVERDUE, "renewal-overdue", 1, "The certificate should have been renewed by now.",
    "Mend what the other checks name; it is tried again by itself, or at once by: devtrustctl repair.")
REASON(DEVICE_KEY, "device-key", 1, "The file of the device's key is missing, or no plain file.",
    "Restore it from a backup before devtrustd restarts, or enrol again: devtrustctl enroll URL --token-file FILE.")
REASON(PUSH_DOWN, "push-down", 1, "The push channel to the server is closed; changes arrive late, by polling.",
    "Run: devtrustctl repair. It is opened again by itself, too, after growing pauses.")
REASON(PUSH_SILENT, "push-silent", 1, "The push channel is open, but its pings do not come.",
    "Wait a minute: a channel that stays silent is opened anew by itself.")
REASON(STATE_BEHIND, "state-behind", 1, "The server has a newer desired state than this device.",
    "Run: devtrustctl repair.")
REASON(STATE_AHEAD, "state-ahead", 1, "The server's desired state is older than what this device has taken from it.",
    "Ask the administrator: the server seems to run on an older copy of its files.")
REASON(POLICY_MISSING, "policy-missing", 1, "Our browser policy file is not there.",
    "Run: devtrustctl repair (as root).")
REASON(POLICY_CHANGED, "policy-changed", 1, "Our browser policy file is not as it was written.",
    "Run: devtrustctl repair (as root).")
REASON(BROWSER_NO_POLICY, "browser-no-policy", 1, "This browser has no policy of ours: it asks which certificate to present.",
    "Make its policy directory, root-owned, mode 0755; then run: systemctl restart devtrustd.")
REASON(DISK_LOW, "disk-low", 1, "Little space is left on the file system.", "Free space; near full, nothing can be renewed.")
REASON(DISK_FULL, "disk-full", 1, "The file system is full.", "Free space; until then nothing can be renewed or repaired.")
REASON(PERMISSIONS, "permissions", 1, "A file or directory has the wrong owner, or is open to others.",
    "Give it the owner and the mode that the text names (chown, chmod).")
REASON(USER_WAITING, "user-waiting", 1, "The certificate is on its way; its turn has not come yet.",
    "Wait, or do not: devtrustctl repair.")
REASON(REMOVING, "removing", 1, "Everything of ours is being removed from this user's stores.",
    "Wait; the user's agent does it as soon as it can.")
REASON(VERSION_MISMATCH, "version-mismatch", 1, "Programs of different versions run together.",
    "Restart what is older: systemctl restart devtrustd, or the user's devtrust-agent.")
REASON(CHECKS_LEFT_OUT, "checks-left-out", 1, "There are more checks than fit into one answer.",
    "Ask for one user: devtrustctl doctor --user NAME.")
/* the local tool */
REASON(USAGE, "usage", 2, "The command line is not as it should be.", "Run the command with --help.")
REASON(DAEMON_UNREACHABLE, "daemon-unreachable", 3, "devtrustd cannot be reached.",
    "Start it: systemctl start devtrustd.")
REASON(DAEMON_NOT_ROOT, "daemon-not-root", 4, "What listens on the socket does not run as root; it is not trusted.",
    "Stop the impostor and start devtrustd.")
REASON(SOCKET_DIRECTORY, "socket-directory", 3, "The directory of devtrustd's socket is missing, or not root's alone.",
    "Make it root-owned, mode 0755, no symbolic link; then: systemctl restart devtrustd.")
REASON(FILE_EXISTS, "file-exists", 2, "The file exists already; nothing is ever overwritten.", "Name another file.")
REASON(NOT_PERMITTED, "not-permitted", 4, "This needs root.", "Run it with sudo.")
REASON(BUSY, "busy", 1, "Another operation of this kind is running.", "Try again in a moment.")
REASON(NO_SUCH_USER, "no-such-user", 1, "No managed user of that name on this device.", "Run: devtrustctl status.")
REASON(NO_CERTIFICATE, "no-certificate", 1, "There is no certificate of ours.", "Run: devtrustctl repair.")
REASON(NO_CONSOLE_USER, "no-console-user", 1, "Nobody is active at this machine's screen (seat0).",
    "Name the user: devtrustctl cert show --user NAME.")
