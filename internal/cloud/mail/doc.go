// Package mail sends the control plane's mail: plain text to one recipient, through a mail server of the operator (SMTP).
//
// A mail is written in the transaction of the change it tells of, and sent behind it by Run, so that no mail tells of what did not happen
// and none is forgotten. Several processes can Run on one database: a row is claimed before it is sent.
//
// What that promises: each mail goes to the server at least once, or is given up with a notice; as a rule once. It goes again when the
// process or the connection ends between the server's taking it and our noting it, or when a process stands still in the middle for longer
// than a claim lasts. Every copy has the same Message-ID, by which mail programs drop the second. A mail that was given up was refused for
// good, or could not be sent before its Until, or within a day.
//
// Until it is sent a mail waits in the database as it is, with the code it may carry; then its row goes.
//
// Nothing a user typed gets into a header but the recipient's address and what Put has held to one line (T-85).
package mail
