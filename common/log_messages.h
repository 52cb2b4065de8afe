/* Message ids of the log (journalctl MESSAGE_ID=…): one per kind of event, 32 hex digits, never
 * reused. Made with systemd-id128 new or uuidgen. Each has an entry in systemd/devtrust.catalog,
 * from which man/devtrust-messages.7 is written (tests/docs-test.py). A table, laid out by hand. */
#pragma once
/* clang-format off */

#define MSG_START "00b0295015a947439e36e9352beb1587" /* a program has started */
#define MSG_START_FAILED "727d3bfdacb94e86937aebac400455b4" /* a program could not start */
#define MSG_STOP "1439259b26324bbbbf60be2b840e3cc0" /* a program stops on request */
#define MSG_CONFIG "acfe75f6332d42129db2a038e8384c4c" /* the configuration has an error */
#define MSG_ENROLLED "0e10e81093974fd69cd3dc51bf5b17c0" /* the device is enrolled */
#define MSG_ENROL_FAILED "d24ca966df4d436d8f0a7f5624772bfe" /* an enrolment did not succeed */
#define MSG_DEVICE_RENEWED "7a6a85db67f74380be3acf16243db25e" /* the device certificate was renewed */
#define MSG_CONNECTED "160c6e660a1d44d29c91089145725913" /* the push stream is open */
#define MSG_DISCONNECTED "3c81920855ff4ae9bcf4b72f8c186607" /* the push stream ended */
#define MSG_STATE_TAKEN "a6a6a6d5ed144ff1bf757c187e90ca9f" /* a new desired state was taken */
#define MSG_STATE_REFUSED "d40950df81214dd2ab855a1ef7db93bb" /* a desired state was not taken */
#define MSG_USER_STATE "61c5320b798d4fc2bd2e7b552f337442" /* a managed user's state machine moved */
#define MSG_USER_REFUSED "7260beaecf494e179a51757aff50f38b" /* an assignment is not served */
#define MSG_POLICY "194fc24b00dd495ca2bdd33004ae9c6d" /* a browser policy was written or removed */
#define MSG_POLICY_FAILED "02b0a22072a44904aeed78cf1ffd4669" /* a browser policy could not be written */
#define MSG_STORAGE "551370f0570149929e1bdfd7c03af2fb" /* a state file could not be read or written */
#define MSG_IPC "a7d5523b02804b4bb6b81ca82aa7213c" /* a peer was refused or cut off */
#define MSG_AGENT "076677c41b60406e80ea841efb0b0a5a" /* the agent's machine moved */
#define MSG_STORE "55f32b712f104340ad22e04503cbfff9" /* a certificate store was changed */
#define MSG_STORE_FAILED "8abae59cefa5423a9b9af068db14c4d6" /* a certificate store could not be used */
#define MSG_ISSUED "32f2000811be4ceda79fff6e086ddaf5" /* the server issued a certificate */
#define MSG_LISTENER_RENEWED "da3062842db1439f8aa5b3ab4d2c4d46" /* the server renewed its listeners' certificate */
#define MSG_ISSUE_REFUSED "890e250af04f4f898dfedc63d7195207" /* the server refused to issue */
#define MSG_REVOKED "b28db253ac3e406798869f825e63c252" /* the server revoked certificates */
#define MSG_ADMIN "fb0d663e04824c7d8a71093c0660cd71" /* an administrator changed something */
#define MSG_HTTP "63fbd78d871b4ff289b4b6ebe82a40a9" /* an HTTP request was refused */
#define MSG_DATABASE "479e48fd96c74664813358c508a1a760" /* the database failed */
#define MSG_INTERNAL "4d1d407c8a4845b9913fa8e5d509fe63" /* something that should not happen */
#define MSG_CLOCK "a1922180397c4fbd9402a372b2a13aee" /* the clock disagrees with the server's, or agrees again */
#define MSG_IDENTITY "683c0656d57842c4b610a44f787738bb" /* the device's identity cannot be used */
#define MSG_RETENTION "cfb04732ad9346c7bd3606fe017abf1d" /* the server forgot what expired long ago */
#define MSG_MACHINE "3151d35032d34f74bd3a02a3e330b63c" /* the machine has woken, or its network is back */
#define MSG_REPORT "2bad44c8e7f64fab8ac88e259faa212d" /* a report was dropped or is refused by the server */
