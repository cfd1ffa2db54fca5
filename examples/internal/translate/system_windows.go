package translate

import "golang.org/x/sys/windows"

// System returns the languages of the person at this machine, the preferred one
// first.
func System() []string {
	names, err := windows.GetUserPreferredUILanguages(windows.MUI_LANGUAGE_NAME)
	if err != nil {
		return nil
	}
	return names
}
