package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
	"github.com/aspupdate/aspupdate/rollback"
)

// TestRunningSteps shows steps that take hours, where there is no terminal, in both
// languages. What an installer prints cannot steer what shows it.
func TestRunningSteps(t *testing.T) {
	for language, want := range map[string]string{
		"en": "          install АСП: running for 1 min | Копирую файл 7 из 9\n          install АСП: running for 2 min | Копирую файл 7 из 9\n" +
			"          install АСП: running for 5 min | Копирую файл 7 из 9\n          install АСП: running for 10 min | Копирую файл 7 из 9\n          install АСП: running for 20 min | Копирую файл 7 из 9\n" +
			"          migrate asp: running for 1 min | Таблица 4 из 9\n          migrate asp: running for 2 min | Таблица 4 из 9\n",
		"ru": "          установка АСП: идёт 1 мин | Копирую файл 7 из 9\n          установка АСП: идёт 2 мин | Копирую файл 7 из 9\n" +
			"          установка АСП: идёт 5 мин | Копирую файл 7 из 9\n          установка АСП: идёт 10 мин | Копирую файл 7 из 9\n          установка АСП: идёт 20 мин | Копирую файл 7 из 9\n" +
			"          перестройка базы asp: идёт 1 мин | Таблица 4 из 9\n          перестройка базы asp: идёт 2 мин | Таблица 4 из 9\n",
	} {
		var b strings.Builder
		p := &printer{out: &b, ticking: true} // the test has the clock
		if language == "ru" {
			p.speak = lang.Russian()
		}
		event := func(kind rollback.EventKind, step rollback.Step, subject string) {
			p.follow(rollback.Event{Kind: kind, Step: step, Subject: subject, Text: string(step) + " " + subject})
		}
		event(rollback.EventBegin, "install", "АСП")
		p.printed("", "Начало\nКопирую\x1b[2J файл 7 из 9\r\n\n")
		begun := p.steps[0].begun
		for d := time.Duration(0); d <= 25*time.Minute; d += 10 * time.Second {
			require.True(t, p.showRunning(begun.Add(d)))
		}
		event(rollback.EventBegin, "migrate", "asp")
		event(rollback.EventBegin, "migrate", "docs")
		p.printed("asp", "Таблица 3\nТаблица 4 из 9\r\n")
		event(rollback.EventDone, "migrate", "docs")
		for d := time.Duration(0); d <= 2*time.Minute; d += 10 * time.Second {
			require.True(t, p.showRunning(p.steps[1].begun.Add(d)))
		}
		event(rollback.EventDone, "migrate", "asp")
		event(rollback.EventFailed, "install", "АСП")
		require.False(t, p.showRunning(begun.Add(time.Hour)))
		require.Equal(t, strings.ReplaceAll(want, "Копирую файл", "Копирую[2J файл"), b.String())
	}
	require.Equal(t, []string{"0:07", "12:40", "1:02:03"}, []string{clockTime(7 * time.Second), clockTime(12*time.Minute + 40*time.Second), clockTime(time.Hour + 2*time.Minute + 3*time.Second)})
}
