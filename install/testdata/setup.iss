; An installer for tests, as Inno Setup makes them. VERSION, OUT and NAME come from ISCC /D.
[Setup]
AppName=ASP
AppId={{5D6E1F5B-0A58-4E1C-9B53-6C3A0B6E9F11}
AppVersion={#VERSION}
VersionInfoVersion={#VERSION}
DefaultDirName=C:\ASP default
OutputDir={#OUT}
OutputBaseFilename={#NAME}
#ifdef LEVEL
PrivilegesRequired={#LEVEL}
#else
PrivilegesRequired=lowest
#endif
DisableProgramGroupPage=yes
Compression=none
[Languages]
Name: "ru"; MessagesFile: "compiler:Languages\Russian.isl"
[Dirs]
Name: "{app}"
[Code]
function InitializeSetup(): Boolean;
begin
  Result := ExpandConstant('{param:STOP|0}') = '0';
end;
procedure CurStepChanged(S: TSetupStep);
#ifdef RUN
var
  Code: Integer;
#endif
begin
  if S = ssPostInstall then
  begin
    SaveStringToFile(ExpandConstant('{app}\version.txt'), '{#VERSION}', False);
    if ExpandConstant('{param:BAD|0}') <> '0' then
      RaiseException('the migration failed');
#ifdef RUN ; what it does to the data
    if not Exec(ExpandConstant('{cmd}'), '/c {#RUN}', '', SW_HIDE, ewWaitUntilTerminated, Code) or (Code <> 0) then
      RaiseException('the restructuring failed');
#endif
  end;
end;
procedure CurUninstallStepChanged(S: TUninstallStep);
begin
  if S = usUninstall then
    DeleteFile(ExpandConstant('{app}\version.txt'));
end;
function NeedRestart(): Boolean;
begin
  Result := ExpandConstant('{param:REBOOT|0}') <> '0';
end;
[Run]
Filename: "{%ASP_START|none}"; Flags: nowait runhidden skipifdoesntexist
