// Package serve is the composition of the control plane: it reads the configuration, builds every part and owns every lifetime (design,
// section 8). Nothing is decided here.
package serve
