package lang

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestText has texts that were made from one format, from several, and with words
// of others in them.
func TestText(t *testing.T) {
	ru := Russian()
	for text, want := range map[string]string{
		"":              "",
		"nothing to do": "делать нечего",
		"2 h 3 min":     "2 ч 3 мин",
		"3 min":         "3 мин",
		"  R13: start from 2026-12-01 10:00 MSK (14:00 here), until 2026-12-01 16:36 MSK (20:36 here)": "  R13: начать не раньше 2026-12-01 10:00 МСК (14:00 местное) и не позже 2026-12-01 16:36 МСК (20:36 местное)",
		"АСП: installed 9.22.100, newest on the server 9.22.200":                                       "АСП: установлена 9.22.100, новейшая на сервере 9.22.200",
		"the volume of /srv has 5 MB free and the update needs 17 MB (copies of the installers)":       "на томе /srv свободно 5 МБ, а обновлению нужно 17 МБ (копии установщиков)",
		"refused: R9: the snapshot asp: the snapshot is damaged":                                       "отказ: R9: резервная копия asp: резервная копия повреждена",
		"back up database asp: ERROR: relation does not exist (SQLSTATE 42P01)":                        "резервное копирование базы asp: ERROR: relation does not exist (SQLSTATE 42P01)",
		"no snapshot here\nnothing to do":                                                              "no snapshot here\nделать нечего",
		"the production calendar ends on 2027-12-31, in 1 days; load the decree of the next year":      "производственный календарь кончается 2027-12-31, через 1 день; загрузите постановление следующего года",
		"the production calendar ends on 2027-12-31, in 22 days; load the decree of the next year":     "производственный календарь кончается 2027-12-31, через 22 дня; загрузите постановление следующего года",
		"the production calendar ends on 2027-12-31, in 11 days; load the decree of the next year":     "производственный календарь кончается 2027-12-31, через 11 дней; загрузите постановление следующего года",
		"next: restart the machine, then aspupdate recover --config 'a b.toml'":                        "далее: перезагрузите машину, затем aspupdate recover --config 'a b.toml'",
		"fix what the message names, then aspupdate doctor --config C:\\x.toml":                        "исправьте то, что названо в сообщении, затем aspupdate doctor --config C:\\x.toml",
		"Прочее, что уже по-русски":                                                                    "Прочее, что уже по-русски",
	} {
		require.Equal(t, want, ru.Text(text))
		require.Equal(t, text, (*Language)(nil).Text(text), "nil is English")
	}
}

func TestChoose(t *testing.T) {
	system := func(names ...string) func() []string { return func() []string { return names } }
	for _, c := range []struct {
		flag   string
		env    []string
		system []string
		want   string
	}{
		{want: "en"},
		{flag: "ru", want: "ru"},
		{flag: "ru-RU", want: "ru"},
		{flag: "en", env: []string{"ru_RU.UTF-8"}, want: "en"},
		{env: []string{"", "", "ru_RU.UTF-8"}, want: "ru"},
		{env: []string{"C", "", "ru_RU.UTF-8"}, want: "en"},
		{env: []string{"", "ru_RU.CP1251", "en_US.UTF-8"}, want: "ru"},
		{env: []string{"de_DE"}, want: "en"},
		{system: []string{"ru-RU", "en-US"}, want: "ru"},
		{system: []string{"en-US", "ru-RU"}, want: "en"},
	} {
		l, err := Choose(c.flag, c.env, system(c.system...))
		require.NoError(t, err)
		require.Equal(t, c.want, l.String(), c)
	}
	for _, flag := range []string{"de", "russian", "ру"} {
		_, err := Choose(flag, nil, system())
		require.ErrorContains(t, err, "only en and ru are known")
	}
}

// TestTextIsFastAndEndless has texts that no format ends: the time must not grow
// with the number of ways to take them apart.
func FuzzText(f *testing.F) {
	f.Add("a: b; c: d, e (f) g: h")
	f.Add("the snapshot is damaged: %s \\ {a|b|c}: 3")
	ru := Russian()
	f.Fuzz(func(t *testing.T, s string) {
		_ = ru.Text(s)
	})
}
