package site

import (
	_ "embed"
	"strings"
)

// template is a configuration with every key. It works once the paths are
// correct; optional keys are commented out.
//
//go:embed template.toml
var template string

// templateRussian is the same with its comments in Russian.
//
//go:embed template.ru.toml
var templateRussian string

// Template returns a commented configuration to start from, with the usual
// directories of an operating system. Its comments are in English, or in Russian
// if the language is "ru".
func Template(goos, language string) string {
	places := []string{
		"{data}", "/var/lib/aspupdate", "{app}", "/opt/asp", "{etc}", "/etc/aspupdate",
		"{stop}", `["systemctl", "disable", "--now", "asp"]`, "{start}", `["systemctl", "enable", "--now", "asp"]`,
		"{status}", `["/bin/sh", "-c", "case $(systemctl is-active asp) in active|activating|reloading) ;; inactive|failed) exit 3;; *) exit 2;; esac"]`,
	}
	if goos == "windows" {
		places = []string{
			"{data}", "C:/ProgramData/aspupdate", "{app}", "C:/ASP", "{etc}", "C:/ProgramData/aspupdate/etc",
			"{stop}", `["powershell", "-Command", "Set-Service asp -StartupType Disabled; Stop-Service asp"]`,
			"{start}", `["powershell", "-Command", "Set-Service asp -StartupType Automatic; Start-Service asp"]`,
			"{status}", `["powershell", "-Command", "try { $s = (Get-Service asp -ErrorAction Stop).Status } catch { if ($_.FullyQualifiedErrorId -like 'NoServiceFound*') { exit 1 }; exit 2 }; if ($s -eq 'Stopped') { exit 1 }; if ($s -eq 'StopPending') { exit 2 }"]`,
		}
	}
	text := template
	if language == "ru" {
		text = templateRussian
	}
	return strings.NewReplacer(places...).Replace(text)
}
