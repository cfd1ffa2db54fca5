package translate

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
)

func TestPlurals(t *testing.T) {
	ru := New(language.Russian, "")
	require.Equal(t, "1 файл, 2 файла, 5 файлов, 11 файлов, 21 файл, 112 файлов; строк: 3, строка: 1",
		ru.plurals("1 {файл|файла|файлов}, 2 {файл|файла|файлов}, 5 {файл|файла|файлов}, 11 {файл|файла|файлов}, 21 {файл|файла|файлов}, 112 {файл|файла|файлов}; {строка|строк|строк}: 3, {строка|строки|строк}: 1"))
}
