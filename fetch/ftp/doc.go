// Package ftp reads a server by FTP: [Source] is a fetch.Source.
//
// It speaks plain FTP, explicit and implicit TLS, lists by MLSD or LIST (Unix
// and IIS), and works with names in any encoding. What a server turns out not
// to support is learned from its replies. Replies and listings are not trusted:
// each wait has a timeout, each listing a limit.
package ftp
