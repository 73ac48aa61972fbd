// Command hello is what the test of Build builds.
package main

import "fmt"

func main() { fmt.Println("hello") }
