// Package bundle keeps the support bundles that agents send on an order, for the owner of the device (T-67, PRIV-8): one for each order of
// support.bundle, from the agent it was sent to, while it is open; for 30 days, or until the device ends. It is bytes: nothing here unpacks or
// reads one. In the database it is sealed, so that who has a copy of that alone has no bundle (T-88).
//
// Who may order one, package order asks; who may take one away is asked here each time, of the same row of the matrix.
package bundle
