package install

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
)

func TestOutputInRussianCodePages(t *testing.T) {
	encode := func(page *charmap.Charmap, s string) string {
		out, err := page.NewEncoder().String(s)
		require.NoError(t, err)
		return out
	}
	for _, line := range []string{
		"Установка завершена успешно", "ОШИБКА: не удалось открыть файл C:\\АСП\\база.fdb", "Не удается найти указанный файл.",
		"Отказано в доступе.", "Скопировано файлов: 1.", "ошибка 5", "Готово", "Служба не запущена", "copied 3 files, ещё 2 осталось",
		"Системе не удается найти указанный путь.", "Процесс не может получить доступ к файлу, так как он занят другим процессом.",
	} {
		require.Equal(t, line, printable([]byte(line), false))
		require.Equal(t, line, printable([]byte(encode(charmap.CodePage866, line)), false))
		require.Equal(t, line, printable([]byte(encode(charmap.Windows1251, line)), false))
	}
	mixed := encode(charmap.CodePage866, "Готово\r\n") + encode(charmap.Windows1251, "Готово\r\n") + "Готово\r\n" + "done\r\n"
	require.Equal(t, "Готово\nГотово\nГотово\ndone\n", printable([]byte(mixed), false))
	require.Equal(t, "Готово", printable([]byte(encode(charmap.CodePage866, "Готово")), false), "letters are not taken for the middle of one")
}

// A code page that the command names is not found out.
func TestTheCodePageOfACommand(t *testing.T) {
	text := "Отказано в доступе. ┌ё┐"
	for name, page := range map[string]*charmap.Charmap{"866": charmap.CodePage866, "koi8-r": charmap.KOI8R} {
		said, err := page.NewEncoder().String(text)
		require.NoError(t, err)
		r, _ := newRunner(t)
		var shown strings.Builder
		r.Output = func(s string) { shown.WriteString(s) }
		cmd := fake(t, "hex="+hex.EncodeToString([]byte(said)))
		cmd.CodePage = name
		out, err := r.Run(t.Context(), cmd)
		require.NoError(t, err)
		require.Equal(t, text+"\n", out.Tail, name)
		require.Equal(t, text+"\n", shown.String(), name)
	}
	r, _ := newRunner(t)
	cmd := fake(t)
	cmd.CodePage = "cp1252"
	_, err := r.Run(t.Context(), cmd)
	require.ErrorContains(t, err, `unknown code page "cp1252"; use one of ["1251" "866" "koi8-r" "utf-8"]`)
	require.Equal(t, "\ufffd", codePage("utf-8").printable([]byte{0x8f}, false), "nothing is guessed")
}

func TestReadTailOfUTF16(t *testing.T) {
	path := filepath.Join(t.TempDir(), "msi.log")
	write := func(s string) {
		b := []byte(utf16Mark)
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
	write("Установка\r\nдиск 𝔸")
	require.Equal(t, "Установка\nдиск 𝔸", readTail(path, 0, ""))
	require.Equal(t, "тановка\nдиск 𝔸", readTail(path, 5, ""), "an odd place is rounded up")
	write(strings.Repeat("ж", tailLimit) + "!")
	got := readTail(path, 0, "")
	require.Equal(t, strings.Repeat("ж", tailLimit/2-1)+"!", got)
	write("")
	require.Empty(t, readTail(path, 0, ""))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x8f\xe0\x00\n\xcf\xf0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := codePage("").decode(b); strings.Contains(got, "\n") != strings.Contains(string(b), "\n") {
			t.Fatalf("%q: lines were lost", got)
		}
	})
}
