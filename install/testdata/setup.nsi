; An installer for tests, as NSIS makes them. VERSION and OUT come from makensis -D.
Target amd64-unicode
Unicode true
!include FileFunc.nsh
Name "ASP"
OutFile "${OUT}"
!ifdef LEVEL
  RequestExecutionLevel ${LEVEL}
!else
  RequestExecutionLevel user
!endif
VIProductVersion "${VERSION}.0"
VIAddVersionKey /LANG=1049 "ProductVersion" "${VERSION}-beta.2"
VIAddVersionKey /LANG=1049 "FileVersion" "${VERSION}"
VIAddVersionKey /LANG=1049 "FileDescription" "Опека и попечительство"
VIAddVersionKey /LANG=1049 "LegalCopyright" ""
InstallDir "C:\ASP default"
Var Line
Var Option

Section
  ${GetParameters} $Line
  ClearErrors
  ${GetOptions} $Line "/STOP" $Option
  IfErrors +2
  Abort
  SetOutPath $INSTDIR
  FileOpen $0 "$INSTDIR\version.txt" w
  FileWrite $0 "${VERSION}"
  FileClose $0
  WriteUninstaller "$INSTDIR\uninstall.exe"
  ReadEnvStr $1 ASP_WAIT ; a program to run and wait for
  StrCmp $1 "" +2
  ExecWait $1
  ReadEnvStr $1 ASP_START ; a program to leave behind
  StrCmp $1 "" +2
  Exec $1
  ClearErrors
  ${GetOptions} $Line "/CODE=" $Option
  IfErrors +2
  SetErrorLevel $Option
SectionEnd

Section Uninstall
  Delete "$INSTDIR\version.txt"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
SectionEnd
