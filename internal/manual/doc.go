// Package manual is what holds the documents to the programs: the reference files of the configurations and the documents made from them, the
// blocks of a document with who runs them, the command lines in it. Tests alone use it, each where it can ask the program itself: whether
// the parser takes a key, a command takes a flag, and what the commands of a document do when they are run.
package manual
