; An installer for tests, as NSIS makes them. VERSION and OUT come from makensis -D.
!ifndef TARGET
  !define TARGET amd64-unicode
!endif
Target ${TARGET}
!ifdef COMPRESSOR
  SetCompressor ${COMPRESSOR}
!endif
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
  ClearErrors
  ${GetOptions} $Line "/ASK" $Option
  IfErrors +2
  MessageBox MB_OK|MB_ICONSTOP "The licence has expired. Закройте окно." ; silent or not
  SetOutPath $INSTDIR
  FileOpen $0 "$INSTDIR\version.txt" w
  FileWrite $0 "${VERSION}"
  FileClose $0
  WriteUninstaller "$INSTDIR\uninstall.exe"
!ifdef RUN ; what it does to the data
  ExecWait '"$SYSDIR\cmd.exe" /c ${RUN}' $0
  StrCmp $0 "0" +2
  Abort
!endif
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
