// Package testenv gives tests the real programs they talk to: a broker, a meter reading tool, the commands of this
// module, and a disk whose power can be cut. It owns where such a program is found, how it is started and how it is ended; what
// is asked of it is the test's.
//
// Programs come from $PATH or from .cache/debian/root, where tools/system-packages unpacks Debian packages without
// installing them. A program that is missing skips the test and says what would bring it, so that plain "go test ./..."
// needs Go alone; under "make test", which has fetched them, a missing program is a failure.
//
// For tests only: internal/layers_test.go holds that nothing else imports it. All functions may be called by parallel tests.
package testenv
