// Package packages holds what is released to what is promised of it: the packages are
// built as a release builds them and installed, upgraded, removed and purged by the real
// dpkg and rpm, in an overlay of this machine that is gone with the test.
package packages
